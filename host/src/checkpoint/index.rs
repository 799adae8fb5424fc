//! Which file has which tensor.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use super::Result;
use super::error::CheckpointError;
use super::fields::{self, Fields};
use super::file::{RawTensor, TensorFile};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// The files of a checkpoint, each mapped when a tensor of it is first asked for.
#[derive(Debug)]
pub struct Index {
    /// What says where a tensor is: the index, or the only file.
    path: PathBuf,
    /// File of each tensor, by its place in `files`.
    places: BTreeMap<String, usize>,
    files: Vec<(PathBuf, OnceLock<TensorFile>)>,
}

impl Index {
    /// The index in a directory, or that of its only file.
    pub fn open(directory: &Path) -> Result<Self> {
        let (index, single) = (directory.join(INDEX), directory.join(SINGLE));
        if index.is_file() {
            return Self::of_shards(directory, index);
        }
        if !single.is_file() {
            return Err(CheckpointError::NoWeights { directory: directory.to_owned() });
        }
        let file = TensorFile::open(single.clone())?;
        let places = file.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Self { path: single.clone(), places, files: vec![(single, OnceLock::from(file))] })
    }

    fn of_shards(directory: &Path, path: PathBuf) -> Result<Self> {
        let json = fields::parse(&path)?;
        let fields = Fields::new(&path, &json)?;
        let map = fields.inner("weight_map", "weight_map.")?;
        let map = map.ok_or_else(|| fields.must_be("weight_map", "an object"))?;
        let mut numbers = BTreeMap::new();
        let mut places = BTreeMap::new();
        for tensor in map.names() {
            let file = map.get(tensor).and_then(|file| file.as_str()).filter(|file| is_plain(file));
            let file = file.ok_or_else(|| map.must_be(tensor, "the name of a file beside it"))?;
            let next = numbers.len();
            places.insert(tensor.clone(), *numbers.entry(file.to_owned()).or_insert(next));
        }
        let mut files: Vec<_> = numbers.into_iter().collect();
        files.sort_by_key(|&(_, number)| number);
        let place = |(file, _): (String, _)| (directory.join(file), OnceLock::new());
        Ok(Self { places, files: files.into_iter().map(place).collect(), path })
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Result<RawTensor<'_>> {
        let missing = |path: &Path| CheckpointError::MissingTensor {
            path: path.to_owned(),
            tensor: name.to_owned(),
            found: self.siblings(name),
        };
        let place = self.places.get(name).ok_or_else(|| missing(&self.path))?;
        let file = self.file(*place)?;
        file.tensor(name).ok_or_else(|| missing(file.path()))
    }

    fn file(&self, place: usize) -> Result<&TensorFile> {
        let (path, file) = &self.files[place];
        if let Some(file) = file.get() {
            return Ok(file);
        }
        let opened = TensorFile::open(path.clone())?;
        Ok(file.get_or_init(|| opened))
    }

    /// Names that agree with `name` up to its last two parts, such as `q_proj.weight`.
    fn siblings(&self, name: &str) -> String {
        let prefix: String =
            name.rsplitn(3, '.').nth(2).map_or_else(String::new, |p| format!("{p}."));
        let names: Vec<_> =
            self.places.keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// Whether a file name stays in its directory.
fn is_plain(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

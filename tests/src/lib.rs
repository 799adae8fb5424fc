//! One suite for every backend.
//!
//! A [`case::Case`] is a line of text that decides all inputs. [`session::Session`] puts it on a device, runs
//! it and compares the result with [`oracle`]. [`grid`] lists the cases, [`checks`] what one step cannot show;
//! [`suite`] runs both.

pub mod case;
pub mod checks;
pub mod compare;
pub mod element;
pub mod grid;
pub mod guarded;
pub mod inputs;
pub mod layout;
pub mod oracle;
pub mod random;
pub mod scene;
pub mod session;
pub mod suite;
pub mod verify;
pub mod watchdog;

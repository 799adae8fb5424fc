// Multi-head latent attention for NVIDIA Hopper GPUs, and for CPUs. Made by cbindgen from oxmla-ffi.
//
// One step: `oxmla_plan`, once, with lengths and block table; then `oxmla_decode`, once per layer. Shapes are
// written outermost axis first, `[batch, s_q, h_q, 576]`; strides are in elements. A block has 64 tokens
// if the planner was not told otherwise, a cached row 512 latent and 64 rotary elements.
//
// GPUs are used through their primary contexts, as by the CUDA runtime and PyTorch: addresses and streams of
// either are good here. Link with `-loxmla`; neither CUDA nor its driver need be there for that.


#ifndef OXMLA_H
#define OXMLA_H

#include <stddef.h>
#include <stdint.h>

// Axes that an `OxmlaTensor` has room for.
#define OXMLA_MAX_RANK 4

// Outcome of a call; `oxmla_last_error` has the text. Anything but `OXMLA_STATUS_OK` means that the call was
// refused or failed; one that was refused has changed nothing.
typedef enum OxmlaStatus {
  // Done; on a GPU, given to the stream.
  OXMLA_STATUS_OK = 0,
  // A pointer that must not be null.
  OXMLA_STATUS_NULL_POINTER = 1,
  // An argument that is not what its description says.
  OXMLA_STATUS_INVALID_ARGUMENT = 2,
  // A decode without a plan: none was made, or the driver failed in the middle of the latest.
  OXMLA_STATUS_NO_PLAN = 3,
  // The device has not the memory that the call needs.
  OXMLA_STATUS_OUT_OF_MEMORY = 4,
  // No usable NVIDIA driver, or a library built without GPUs.
  OXMLA_STATUS_NO_DRIVER = 5,
  // The thread's current context is not the primary context of a GPU.
  OXMLA_STATUS_NO_CONTEXT = 6,
  // A GPU or a driver that the kernels are not made for.
  OXMLA_STATUS_UNSUPPORTED_DEVICE = 7,
  // A call of the CUDA driver failed.
  OXMLA_STATUS_DRIVER = 8,
  // A defect of the library. The planner is good for nothing but to be destroyed.
  OXMLA_STATUS_INTERNAL = 9,
} OxmlaStatus;

// Type of a tensor's elements.
typedef enum OxmlaDtype {
  // bfloat16.
  OXMLA_DTYPE_BF16 = 1,
  // IEEE half precision.
  OXMLA_DTYPE_F16 = 2,
  // IEEE single precision.
  OXMLA_DTYPE_F32 = 3,
} OxmlaDtype;

// Which cached tokens a query token sees.
typedef enum OxmlaMask {
  // All of them.
  OXMLA_MASK_NONE = 1,
  // Query token `i` of `s_q` sees the first `length - (s_q - 1 - i)` tokens.
  OXMLA_MASK_CAUSAL = 2,
} OxmlaMask;

// What a planner is for.
typedef enum OxmlaDevice {
  // The threads of this process.
  OXMLA_DEVICE_CPU = 1,
  // The GPU whose primary context is current on the calling thread.
  OXMLA_DEVICE_CURRENT_CONTEXT = 2,
} OxmlaDevice;

// Where lengths and block table are.
typedef enum OxmlaMemory {
  // In the memory of this process.
  OXMLA_MEMORY_HOST = 1,
  // In the memory of the planner's GPU.
  OXMLA_MEMORY_DEVICE = 2,
} OxmlaMemory;

// Plans decode steps on one device, and owns the memory that they need besides the tensors. It holds one
// step: a plan replaces the one before.
//
// One thread at a time uses a planner, whichever.
typedef struct OxmlaPlanner OxmlaPlanner;

// What a planner is made for. Memory is reserved for the maxima once; steps may be smaller.
typedef struct OxmlaPlannerConfig {
  // Query heads.
  uint32_t h_q;
  // KV heads; 1 for MLA as DeepSeek publishes it. Divides `h_q`.
  uint32_t h_k;
  // Type of queries, cache and output, a value of `OxmlaDtype`: bf16 or f16.
  uint32_t dtype;
  // Most query tokens per request.
  uint32_t max_s_q;
  // Most requests in a step.
  size_t max_batch;
  // Most blocks of a request; also the most columns of a step's block table.
  size_t max_blocks_per_sequence;
  // Blocks of the cache; every block id is less.
  size_t blocks_in_cache;
  // Tokens after which every request is split, 64 times a power of two, for results that do not depend on
  // what else is in the batch; 0 to share out the work evenly instead.
  uint32_t piece_tokens;
  // Tokens of a block: 16, 32, 64 or 128; 0 for 64.
  uint32_t block_size;
} OxmlaPlannerConfig;

// One decode step.
typedef struct OxmlaStep {
  // Cached tokens of each request, those of this step's query tokens included: `[batch]`, from 0 on.
  const int32_t *lengths;
  // Block ids: `[batch, max_blocks]`. Of each row the first `ceil(length / block_size)` count, but for those of
  // blocks that are before the windows of all query tokens.
  const int32_t *block_table;
  // Requests.
  size_t batch;
  // Columns of the block table.
  size_t max_blocks;
  // From one row of the block table to the next, in elements.
  size_t table_stride;
  // Query tokens per request.
  uint32_t s_q;
  // Which cached tokens they see, a value of `OxmlaMask`.
  uint32_t mask;
  // Where lengths and block table are, a value of `OxmlaMemory`.
  uint32_t memory;
  // Sliding window: query token `i`, which is the cached token `own = length - s_q + i`, sees of what `mask` lets it
  // see the tokens `p > own - window`, as many up to its own as the window has. 0 for no window.
  uint32_t window;
} OxmlaStep;

// A tensor in memory of the planner's device.
typedef struct OxmlaTensor {
  // The first element. Null only if the tensor is empty.
  void *data;
  // Size of each axis, outermost first.
  int64_t shape[OXMLA_MAX_RANK];
  // Stride of each axis, in elements. That of an axis of size 1 may be anything but negative.
  int64_t strides[OXMLA_MAX_RANK];
  // Axes in use, from the first on.
  uint32_t rank;
  // Type of the elements, a value of `OxmlaDtype`.
  uint32_t dtype;
} OxmlaTensor;

// The tensors of one layer's decode attention, all on the planner's device; queries, cache and output have the
// planner's type.
typedef struct OxmlaDecode {
  // Queries, with W_UK absorbed and the rotary part last: `[batch, s_q, h_q, 576]`.
  struct OxmlaTensor q;
  // Cached rows: `[blocks, block_size, h_k, 576]`, as the planner was told. Rows that no request of the
  // plan has may hold anything, NaN included, and so may rows that are before the windows of all query tokens.
  struct OxmlaTensor kv_cache;
  // The output, in latent space: `[batch, s_q, h_q, 512]`. 0 for a query token that sees nothing.
  struct OxmlaTensor out;
  // Natural logarithm of the sum of exponentials of the scaled scores: `[batch, h_q, s_q]` f32. Minus infinity
  // for a query token that sees nothing.
  struct OxmlaTensor lse;
  // By what scores are multiplied before the softmax; for DeepSeek-V3 `1 / sqrt(192)`, times the square of
  // YaRN's factor.
  float softmax_scale;
  // Soft cap of the scaled scores `s`, which become `cap * tanh(s / cap)`; 0 leaves them as they are.
  float softcap;
} OxmlaDecode;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the library, such as "0.1.0".
const char *oxmla_version(void);

// What was wrong with the last call of this thread that did not return `OXMLA_STATUS_OK`; empty if there was
// none. Good until the thread's next such call. Never null.
const char *oxmla_last_error(void);

// Makes a planner.
//
// On a GPU this loads the kernels into the primary context the first time, and reserves memory; do not call it
// while a stream is being captured. `device` is a value of `OxmlaDevice`; with
// `OXMLA_DEVICE_CURRENT_CONTEXT` the planner stays with that GPU, whatever is current later.
//
// # Safety
// `config` is null or readable, `planner` null or writable. On success `*planner` is to be destroyed with
// `oxmla_planner_destroy`; else it is null.
enum OxmlaStatus oxmla_planner_create(uint32_t device,
                                      const struct OxmlaPlannerConfig *config,
                                      struct OxmlaPlanner **planner);

// Plans the next step, and replaces the one before. Lengths and block table may go on return.
//
// On a GPU they are uploaded in the order of `stream`, always to the same addresses: a graph that captured
// `oxmla_decode` works on the new ones when it is replayed after this, as long as batch, `s_q` and mask are the
// same. With `OXMLA_MEMORY_HOST` the call does not wait for the GPU. With `OXMLA_MEMORY_DEVICE` it does: they
// are copied back in the order of `stream`, because they are checked on the host. Not while `stream` is being
// captured.
//
// `stream` is a `CUstream` of the planner's GPU (null: the default stream), or null on the CPU. A call that is
// refused leaves the plan before in force.
//
// # Safety
// `planner` is null or a planner that nobody else uses now; `step` is null or readable, with pointers that are
// null or to memory of the sizes that it says, in the place that it says; `stream` is as above.
enum OxmlaStatus oxmla_plan(struct OxmlaPlanner *planner,
                            const struct OxmlaStep *step,
                            void *stream);

// Attends from the queries to what the requests of the latest plan have cached.
//
// On the CPU the result is there on return. On a GPU the call gives the work to `stream` and returns: it
// allocates nothing and waits for nothing, and can be captured in a graph, in every capture mode. The tensors
// must then stay until the stream has done the work; `args` may go at once.
//
// A GPU follows strides as far as its loads can: the innermost axis contiguous; addresses of `q`, `kv_cache` and
// `out` and all their strides multiples of 16 bytes; query tokens and heads of `q` evenly spaced; query tokens
// of `lse` contiguous. The CPU follows any.
//
// `stream` is as for `oxmla_plan`; work of one planner on several streams is for the caller to order.
//
// # Safety
// `planner` is null or a planner that nobody else uses now; `args` is null or readable, with tensors in memory of
// the planner's device that nobody else writes, and for `out` and `lse` nobody else reads, until the work is
// done; `stream` is as above.
enum OxmlaStatus oxmla_decode(const struct OxmlaPlanner *planner,
                              const struct OxmlaDecode *args,
                              void *stream);

// The latest plan in words, for people. `*text` belongs to the planner, and is good until its next call of this
// function.
//
// # Safety
// `planner` is null or a planner that nobody else uses now, `text` null or writable.
enum OxmlaStatus oxmla_explain(struct OxmlaPlanner *planner,
                               const char **text);

// Destroys a planner; null is nothing to do. On a GPU, waits until its kernels have ended.
//
// # Safety
// `planner` is null or was made by `oxmla_planner_create`, and is not used again; nor is any graph that
// captured a decode with it.
void oxmla_planner_destroy(struct OxmlaPlanner *planner);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OXMLA_H */

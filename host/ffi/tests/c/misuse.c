// Every misuse is refused with its status and a text that names the argument, and changes nothing.

#include "scene.h"

static Scene scene;
static OxmlaPlanner *planner;

static void expect(int line, OxmlaStatus got, OxmlaStatus status, const char *text) {
    if (got == status && strcmp(oxmla_last_error(), text) == 0)
        return;
    fprintf(stderr, "misuse.c:%d: got %d \"%s\"\n  instead of %d \"%s\"\n", line, (int)got,
            oxmla_last_error(), (int)status, text);
    exit(1);
}

#define NULL_POINTER OXMLA_STATUS_NULL_POINTER
#define INVALID OXMLA_STATUS_INVALID_ARGUMENT

// A planner whose configuration a statement has spoilt.
#define REFUSED_CONFIG(status, text, spoil)                                                 \
    do {                                                                                    \
        OxmlaPlannerConfig config = scene_config();                                         \
        OxmlaPlanner *made = planner;                                                       \
        spoil;                                                                              \
        expect(__LINE__, oxmla_planner_create(OXMLA_DEVICE_CPU, &config, &made), status, text); \
        REQUIRE(made == NULL);                                                              \
    } while (0)

// A step that a statement has spoilt.
#define REFUSED_STEP(status, text, spoil)                                                   \
    do {                                                                                    \
        OxmlaStep step = scene_step(&scene);                                                \
        spoil;                                                                              \
        expect(__LINE__, oxmla_plan(planner, &step, NULL), status, text);                   \
    } while (0)

// A decode whose tensors a statement has spoilt.
#define REFUSED_DECODE(status, text, spoil)                                                 \
    do {                                                                                    \
        OxmlaDecode args = scene_args(&scene);                                              \
        spoil;                                                                              \
        expect(__LINE__, oxmla_decode(planner, &args, NULL), status, text);                 \
    } while (0)

static void planners(void) {
    OxmlaPlannerConfig config = scene_config();
    OxmlaPlanner *made = NULL;
    expect(__LINE__, oxmla_planner_create(OXMLA_DEVICE_CPU, &config, NULL), NULL_POINTER,
           "`planner` must not be null");
    expect(__LINE__, oxmla_planner_create(OXMLA_DEVICE_CPU, NULL, &made), NULL_POINTER,
           "`config` must not be null");
    expect(__LINE__, oxmla_planner_create(0, &config, &made), INVALID,
           "`device` must be a value of OxmlaDevice, but is 0");
    REFUSED_CONFIG(INVALID, "0 query heads cannot be divided among 1 KV heads", config.h_q = 0);
    REFUSED_CONFIG(INVALID, "4 query heads cannot be divided among 3 KV heads", config.h_k = 3);
    REFUSED_CONFIG(INVALID, "`dtype` must be a value of OxmlaDtype, but is 9", config.dtype = 9);
    REFUSED_CONFIG(INVALID, "`dtype` must be bf16 or f16, but is f32",
                   config.dtype = OXMLA_DTYPE_F32);
    REFUSED_CONFIG(INVALID, "`max_s_q` must be from 1 to 536870911, but is 0", config.max_s_q = 0);
    REFUSED_CONFIG(INVALID, "`max_batch` must be from 1 to 2147483647, but is 0",
                   config.max_batch = 0);
    REFUSED_CONFIG(INVALID, "`max_blocks_per_sequence` must be from 1 to 33554432, but is 0",
                   config.max_blocks_per_sequence = 0);
    REFUSED_CONFIG(INVALID, "`blocks_in_cache` must be from 1 to 2147483647, but is 0",
                   config.blocks_in_cache = 0);
    REFUSED_CONFIG(INVALID, "`piece_tokens` must be 64 times a power of two, but is 96",
                   config.piece_tokens = 96);
    REFUSED_CONFIG(INVALID, "the block size must be 16, 32, 64 or 128 tokens, but is 48",
                   config.block_size = 48);
    // Whatever this machine has, no context is current here.
    OxmlaStatus status = oxmla_planner_create(OXMLA_DEVICE_CURRENT_CONTEXT, &config, &made);
    REQUIRE(made == NULL);
    if (status == OXMLA_STATUS_NO_DRIVER)
        REQUIRE(strncmp(oxmla_last_error(), "no NVIDIA driver: ", 18) == 0);
    else
        expect(__LINE__, status, OXMLA_STATUS_NO_CONTEXT,
               "the primary context of a GPU must be current on the thread, but none is");
}

static void steps(void) {
    OxmlaStep step = scene_step(&scene);
    expect(__LINE__, oxmla_plan(NULL, &step, NULL), NULL_POINTER, "`planner` must not be null");
    expect(__LINE__, oxmla_plan(planner, NULL, NULL), NULL_POINTER, "`step` must not be null");
    expect(__LINE__, oxmla_plan(planner, &step, &scene), INVALID,
           "`stream` must be null, for the planner is for the CPU");
    REFUSED_STEP(NULL_POINTER, "`lengths` must not be null", step.lengths = NULL);
    REFUSED_STEP(NULL_POINTER, "`block_table` must not be null", step.block_table = NULL);
    REFUSED_STEP(INVALID, "batch is 3, but the planner was made for at most 2", step.batch = 3);
    REFUSED_STEP(INVALID, "max_blocks is 4, but the planner was made for at most 3",
                 step.max_blocks = 4);
    REFUSED_STEP(INVALID, "`table_stride`: the size of `strides` overflows",
                 step.table_stride = SIZE_MAX);
    REFUSED_STEP(INVALID, "`s_q` must be from 1 to 4294967295, but is 0", step.s_q = 0);
    REFUSED_STEP(INVALID, "s_q is 3, but the planner was made for at most 2", step.s_q = 3);
    REFUSED_STEP(INVALID, "`mask` must be a value of OxmlaMask, but is 0", step.mask = 0);
    REFUSED_STEP(INVALID, "`memory` must be a value of OxmlaMemory, but is 3", step.memory = 3);
    REFUSED_STEP(INVALID, "`memory` must be OXMLA_MEMORY_HOST, for the planner is for the CPU",
                 step.memory = OXMLA_MEMORY_DEVICE);
    int32_t negative[BATCH] = {1, -5}, long_one[BATCH] = {193, 1};
    REFUSED_STEP(INVALID, "request 1 has a negative length, -5", step.lengths = negative);
    REFUSED_STEP(INVALID, "request 0 has 193 tokens, but its 3 blocks in the table hold fewer",
                 step.lengths = long_one);
    int32_t ids[BATCH * TABLE_STRIDE] = {4, 5, 2, 0, 3};
    REFUSED_STEP(INVALID, "block 1 of request 0 has id 5, but the cache has 5 blocks",
                 step.block_table = ids);
    char text[100];
    const int32_t *odd = (const int32_t *)((const char *)scene.lengths + 1);
    snprintf(text, sizeof text, "the address of `lengths` must be a multiple of 4 bytes, but is %#zx",
             (size_t)odd);
    REFUSED_STEP(INVALID, text, step.lengths = odd);
}

static void tensors(void) {
    OxmlaDecode args = scene_args(&scene);
    expect(__LINE__, oxmla_decode(NULL, &args, NULL), NULL_POINTER, "`planner` must not be null");
    expect(__LINE__, oxmla_decode(planner, NULL, NULL), NULL_POINTER, "`args` must not be null");
    expect(__LINE__, oxmla_decode(planner, &args, &scene), INVALID,
           "`stream` must be null, for the planner is for the CPU");
    REFUSED_DECODE(NULL_POINTER, "`q` must not be null", args.q.data = NULL);
    REFUSED_DECODE(NULL_POINTER, "`kv_cache` must not be null", args.kv_cache.data = NULL);
    REFUSED_DECODE(NULL_POINTER, "`out` must not be null", args.out.data = NULL);
    REFUSED_DECODE(NULL_POINTER, "`lse` must not be null", args.lse.data = NULL);
    REFUSED_DECODE(INVALID, "`kv_cache` must have 4 axes, but has 3", args.kv_cache.rank = 3);
    REFUSED_DECODE(INVALID, "`lse` must have 3 axes, but has 4000000000",
                   args.lse.rank = 4000000000u);
    REFUSED_DECODE(INVALID, "axis batch of `q` must have size 2, but has 1", args.q.shape[0] = 1);
    REFUSED_DECODE(INVALID, "axis h_q of `out` must have size 4, but has 3", args.out.shape[2] = 3);
    REFUSED_DECODE(INVALID, "axis blocks of `kv_cache` must have size 5, but has 4",
                   args.kv_cache.shape[0] = 4);
    REFUSED_DECODE(INVALID, "axis s_q of `lse` must have size 2, but has 1", args.lse.shape[2] = 1);
    REFUSED_DECODE(INVALID, "size of axis 3 of `q` must not be negative, but is -576",
                   args.q.shape[3] = -576);
    REFUSED_DECODE(INVALID, "stride of axis 0 of `lse` must not be negative, but is -1",
                   args.lse.strides[0] = -1);
    REFUSED_DECODE(INVALID, "`q`: the size of `strides` overflows",
                   args.q.strides[0] = INT64_MAX);
    REFUSED_DECODE(INVALID,
                   "`out`: shape [2, 2, 4, 512] with strides [4096, 512, 512, 1] makes elements of a "
                   "writable view overlap",
                   args.out.strides[2] = D_V);
    REFUSED_DECODE(INVALID, "dtype of `lse` must be a value of OxmlaDtype, but is 0",
                   args.lse.dtype = 0);
    REFUSED_DECODE(INVALID, "`lse` must be f32, but is bf16", args.lse.dtype = OXMLA_DTYPE_BF16);
    REFUSED_DECODE(INVALID, "`q` must be bf16, but is f16", args.q.dtype = OXMLA_DTYPE_F16);
    REFUSED_DECODE(INVALID, "`softmax_scale` must be finite and greater than 0, but is 0",
                   args.softmax_scale = 0.0f);
    REFUSED_DECODE(INVALID,
                   "`softcap` must be finite and greater than 0, and in proportion to `softmax_scale`, "
                   "but is -1",
                   args.softcap = -1.0f);
}

int main(void) {
    static Scene untouched;
    OxmlaPlannerConfig config = scene_config();
    scene_init(&scene);
    scene_init(&untouched);
    planners();
    REQUIRE(oxmla_planner_create(OXMLA_DEVICE_CPU, &config, &planner) == OXMLA_STATUS_OK);

    OxmlaDecode args = scene_args(&scene);
    const char *text = NULL;
    expect(__LINE__, oxmla_decode(planner, &args, NULL), OXMLA_STATUS_NO_PLAN,
           "the planner has planned no step");
    expect(__LINE__, oxmla_explain(planner, &text), OXMLA_STATUS_NO_PLAN,
           "the planner has planned no step");
    OxmlaStep step = scene_step(&scene);
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    expect(__LINE__, oxmla_explain(planner, NULL), NULL_POINTER, "`text` must not be null");
    expect(__LINE__, oxmla_explain(NULL, &text), NULL_POINTER, "`planner` must not be null");

    steps();
    tensors();
    REQUIRE(memcmp(&scene, &untouched, sizeof scene) == 0);

    // After all that, the plan from before is in force.
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);
    REQUIRE(memcmp(&scene, &untouched, sizeof scene) != 0);
    oxmla_planner_destroy(planner);
    return 0;
}

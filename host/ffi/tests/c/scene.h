// Two requests with two query tokens and four heads, on the CPU: what the tests decode, right or spoilt.

#ifndef SCENE_H
#define SCENE_H

#include <math.h>
#include <oxmla.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 2,
    S_Q = 2,
    H_Q = 4,
    D_QK = 576,
    D_V = 512,
    BLOCK = 64,
    BLOCKS = 5,
    MAX_BLOCKS = 3,
    // Elements from one cached row to the next: there are gaps.
    CACHE_ROW = 600,
    TABLE_STRIDE = 4,
};

static const float SCALE = 1.0f / 24.0f;

typedef struct Scene {
    uint16_t q[BATCH * S_Q * H_Q * D_QK];
    uint16_t kv_cache[BLOCKS * BLOCK * CACHE_ROW];
    uint16_t out[BATCH * S_Q * H_Q * D_V];
    float lse[BATCH * H_Q * S_Q];
    int32_t lengths[BATCH];
    int32_t block_table[BATCH * TABLE_STRIDE];
} Scene;

// bf16 by truncation: every float that it makes is one that it keeps.
static inline uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static inline float from_bf16(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

static inline void random_elements(uint16_t *elements, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        elements[i] = to_bf16((float)(seed >> 8) / (1 << 23) - 1.0f);
    }
}

// Tokens that no request has are NaN, and table entries that no request has are no blocks.
static inline void scene_init(Scene *scene) {
    static const int32_t lengths[BATCH] = {130, 3};
    static const int32_t block_table[BATCH * TABLE_STRIDE] = {4, 0, 2, -1, 3, -1, -1, -1};
    memcpy(scene->lengths, lengths, sizeof lengths);
    memcpy(scene->block_table, block_table, sizeof block_table);
    random_elements(scene->q, sizeof scene->q / sizeof *scene->q, 1);
    for (size_t i = 0; i < sizeof scene->kv_cache / sizeof *scene->kv_cache; i++)
        scene->kv_cache[i] = to_bf16(NAN);
    for (int request = 0; request < BATCH; request++)
        for (int token = 0; token < lengths[request]; token++) {
            int block = block_table[request * TABLE_STRIDE + token / BLOCK];
            size_t row = (size_t)(block * BLOCK + token % BLOCK) * CACHE_ROW;
            random_elements(scene->kv_cache + row, D_QK, (uint32_t)(request * 1000 + token + 2));
        }
    memset(scene->out, 0x7f, sizeof scene->out);
    memset(scene->lse, 0x7f, sizeof scene->lse);
}

static inline OxmlaPlannerConfig scene_config(void) {
    return (OxmlaPlannerConfig){
        .h_q = H_Q,
        .h_k = 1,
        .dtype = OXMLA_DTYPE_BF16,
        .max_s_q = S_Q,
        .max_batch = BATCH,
        .max_blocks_per_sequence = MAX_BLOCKS,
        .blocks_in_cache = BLOCKS,
    };
}

static inline OxmlaStep scene_step(const Scene *scene) {
    return (OxmlaStep){
        .lengths = scene->lengths,
        .block_table = scene->block_table,
        .batch = BATCH,
        .max_blocks = MAX_BLOCKS,
        .table_stride = TABLE_STRIDE,
        .s_q = S_Q,
        .mask = OXMLA_MASK_CAUSAL,
        .memory = OXMLA_MEMORY_HOST,
    };
}

static inline OxmlaDecode scene_args(Scene *scene) {
    return (OxmlaDecode){
        .q = {.data = scene->q,
              .shape = {BATCH, S_Q, H_Q, D_QK},
              .strides = {S_Q * H_Q * D_QK, H_Q * D_QK, D_QK, 1},
              .rank = 4,
              .dtype = OXMLA_DTYPE_BF16},
        .kv_cache = {.data = scene->kv_cache,
                     .shape = {BLOCKS, BLOCK, 1, D_QK},
                     .strides = {BLOCK * CACHE_ROW, CACHE_ROW, 0, 1},
                     .rank = 4,
                     .dtype = OXMLA_DTYPE_BF16},
        // Heads outside query tokens, to see that strides are followed.
        .out = {.data = scene->out,
                .shape = {BATCH, S_Q, H_Q, D_V},
                .strides = {S_Q * H_Q * D_V, D_V, S_Q * D_V, 1},
                .rank = 4,
                .dtype = OXMLA_DTYPE_BF16},
        .lse = {.data = scene->lse,
                .shape = {BATCH, H_Q, S_Q},
                .strides = {H_Q * S_Q, S_Q, 1},
                .rank = 3,
                .dtype = OXMLA_DTYPE_F32},
        .softmax_scale = SCALE,
    };
}

#define REQUIRE(condition)                                                                  \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s; last error: %s\n", __FILE__, __LINE__,      \
                    #condition, oxmla_last_error());                                        \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#endif

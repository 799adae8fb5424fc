// Decodes a small batch on the CPU and compares it with attention in double precision.

#include "scene.h"

// What the next step and its tensors are given; 0 for none.
static int window;
static double softcap;

// One row: the output and its LSE.
static double oracle(const Scene *scene, int request, int token, int head, double *out) {
    const uint16_t *q = scene->q + ((request * S_Q + token) * H_Q + head) * D_QK;
    int visible = scene->lengths[request] - (S_Q - 1 - token);
    int first = window > 0 && window < visible ? visible - window : 0;
    double sum = 0.0;
    memset(out, 0, D_V * sizeof *out);
    for (int position = first; position < visible; position++) {
        int block = scene->block_table[request * TABLE_STRIDE + position / BLOCK];
        const uint16_t *row = scene->kv_cache + (block * BLOCK + position % BLOCK) * CACHE_ROW;
        double score = 0.0;
        for (int i = 0; i < D_QK; i++)
            score += (double)from_bf16(q[i]) * (double)from_bf16(row[i]);
        // Scores are at most 576 / 24: no maximum needs to be taken out.
        score *= (double)SCALE;
        double weight = exp(softcap > 0 ? softcap * tanh(score / softcap) : score);
        sum += weight;
        for (int i = 0; i < D_V; i++)
            out[i] += weight * (double)from_bf16(row[i]);
    }
    for (int i = 0; i < D_V; i++)
        out[i] /= sum;
    return log(sum);
}

static void compare(const Scene *scene) {
    double expected[D_V];
    for (int request = 0; request < BATCH; request++)
        for (int token = 0; token < S_Q; token++)
            for (int head = 0; head < H_Q; head++) {
                double lse = oracle(scene, request, token, head, expected);
                REQUIRE(fabs(scene->lse[(request * H_Q + head) * S_Q + token] - lse) < 1e-5);
                const uint16_t *out = scene->out + ((request * H_Q + head) * S_Q + token) * D_V;
                // bf16 has 8 bits: half a unit in the last place is 2^-9.
                for (int i = 0; i < D_V; i++)
                    REQUIRE(fabs(from_bf16(out[i]) - expected[i]) <=
                            fabs(expected[i]) / 256 + 1e-5);
            }
}

int main(void) {
    static Scene scene;
    OxmlaPlannerConfig config = scene_config();
    OxmlaPlanner *planner = NULL;
    scene_init(&scene);
    REQUIRE(strlen(oxmla_version()) > 0);
    REQUIRE(strcmp(oxmla_last_error(), "") == 0);
    REQUIRE(oxmla_planner_create(OXMLA_DEVICE_CPU, &config, &planner) == OXMLA_STATUS_OK);

    OxmlaStep step = scene_step(&scene);
    OxmlaDecode args = scene_args(&scene);
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    const char *text = NULL;
    REQUIRE(oxmla_explain(planner, &text) == OXMLA_STATUS_OK);
    REQUIRE(strstr(text, "2 requests") != NULL);
    REQUIRE(strstr(text, "equal shares") != NULL);
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);
    compare(&scene);

    // Behind a window, whose begin the first block of the longer request is not: its id may be anything, and the rows
    // before it. Scores are capped.
    int32_t freed = scene.block_table[0];
    scene.block_table[0] = -1;
    step.window = window = 50;
    args.softcap = 2.0f, softcap = 2.0;
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    REQUIRE(oxmla_explain(planner, &text) == OXMLA_STATUS_OK);
    REQUIRE(strstr(text, "window of 50 tokens") != NULL);
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);
    compare(&scene);
    scene.block_table[0] = freed;
    step.window = window = 0;
    args.softcap = 0.0f, softcap = 0.0;

    // The next step with the same planner: one request has grown, the other gets no tokens.
    scene.lengths[0] = 131;
    scene.lengths[1] = 0;
    random_elements(scene.kv_cache + (2 * BLOCK + 2) * CACHE_ROW, D_QK, 77);
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);
    REQUIRE(isinf(scene.lse[H_Q * S_Q]) && scene.lse[H_Q * S_Q] < 0);
    REQUIRE(scene.out[S_Q * H_Q * D_V] == 0);
    double expected[D_V];
    REQUIRE(fabs(scene.lse[1] - oracle(&scene, 0, 1, 0, expected)) < 1e-5);

    // An empty batch has no tensors.
    step.batch = 0;
    step.lengths = step.block_table = NULL;
    args.q.shape[0] = args.out.shape[0] = args.lse.shape[0] = 0;
    args.q.data = args.out.data = args.lse.data = NULL;
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);

    oxmla_planner_destroy(planner);
    oxmla_planner_destroy(NULL);

    // Pieces of a fixed length.
    config.piece_tokens = 2 * BLOCK;
    scene_init(&scene);
    step = scene_step(&scene);
    args = scene_args(&scene);
    REQUIRE(oxmla_planner_create(OXMLA_DEVICE_CPU, &config, &planner) == OXMLA_STATUS_OK);
    REQUIRE(oxmla_plan(planner, &step, NULL) == OXMLA_STATUS_OK);
    REQUIRE(oxmla_explain(planner, &text) == OXMLA_STATUS_OK);
    REQUIRE(strstr(text, "pieces of 128 tokens") != NULL);
    REQUIRE(oxmla_decode(planner, &args, NULL) == OXMLA_STATUS_OK);
    compare(&scene);
    oxmla_planner_destroy(planner);
    return 0;
}

// Equations (1) and (3) of one chunk of sequences on a CPU, forward and backward, after the product U x.
//
// One task is one recurrence (network m, direction d) over one sequence: its states pass from node to node inside the
// processor's caches, and everything that is done to them is done while they are there. Compiled for the machine at
// hand with HIDDEN units of a hidden state; scan_kernel.py builds it, spatial_compiled.py calls it.
//
// Layouts, all float32, row-major:
//   P, dP      (frames, nodes, M, D, HIDDEN)            U x + b of the real frames, and its gradient
//   W          (M, D, HIDDEN, HIDDEN)     G  (M, D, nodes, Kp)
//   h          (sequences, M, D, nodes, L, ROW)         kept for the backward pass; rows are filled up to ROW floats
//   s, ds      (M, steps in all, D, Kp, HIDDEN)         equation (3), and its gradient
//   dW, dG     (sequences, M, D, ...)                   sums over one sequence each
// A time step is the sum of two weighted frames: `frame` and `weight` are (sequences, L, 2).
// Of a direction, `order` lists all nodes as they are visited; node k receives from before[before_start[k]...] and hands
// on to after[after_start[k]...].

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int WIDTH = 16;                                    // floats of a vector
constexpr int WHOLE = HIDDEN / WIDTH;                        // whole vectors of a row
constexpr int REST = HIDDEN % WIDTH;                         // floats beyond them
constexpr int TAIL = REST == 0 ? 0 : REST <= 4 ? 4 : REST <= 8 ? 8 : 16;
constexpr int ROW = WHOLE * WIDTH + TAIL;                    // floats of a row with the last vector filled up

typedef float Vector __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef float Tail __attribute__((vector_size(4 * (TAIL ? TAIL : 4)), aligned(4)));

// Rows of a product whose sums are held in registers: 32 of them with AVX-512, 16 of half the size without.
#ifdef __AVX512F__
constexpr int ROWS = WHOLE + (TAIL > 0) <= 4 ? 6 : 3;
#else
constexpr int ROWS = WHOLE + (TAIL > 0) <= 4 ? 2 : 1;
#endif

// The HIDDEN numbers of one row, in registers.
struct Row {
    Vector whole[WHOLE ? WHOLE : 1];
    Tail tail;

    static inline Row zero() {
        Row row;
        for (int v = 0; v < WHOLE; ++v) row.whole[v] = Vector{};
        row.tail = Tail{};
        return row;
    }
    // Reads ROW floats.
    static inline Row load(const float* from) {
        Row row;
        for (int v = 0; v < WHOLE; ++v) row.whole[v] = *reinterpret_cast<const Vector*>(from + v * WIDTH);
        row.tail = Tail{};
        if (TAIL) row.tail = *reinterpret_cast<const Tail*>(from + WHOLE * WIDTH);
        return row;
    }
    // Reads HIDDEN floats only.
    static inline Row load_exactly(const float* from) {
        Row row;
        for (int v = 0; v < WHOLE; ++v) row.whole[v] = *reinterpret_cast<const Vector*>(from + v * WIDTH);
        row.tail = Tail{};
        if (TAIL) std::memcpy(&row.tail, from + WHOLE * WIDTH, 4 * REST);
        return row;
    }
    inline void store(float* to) const {
        for (int v = 0; v < WHOLE; ++v) *reinterpret_cast<Vector*>(to + v * WIDTH) = whole[v];
        if (TAIL) *reinterpret_cast<Tail*>(to + WHOLE * WIDTH) = tail;
    }
    inline void store_exactly(float* to) const {
        for (int v = 0; v < WHOLE; ++v) *reinterpret_cast<Vector*>(to + v * WIDTH) = whole[v];
        if (TAIL) std::memcpy(to + WHOLE * WIDTH, &tail, 4 * REST);
    }
    inline void add(const Row& other) {
        for (int v = 0; v < WHOLE; ++v) whole[v] += other.whole[v];
        if (TAIL) tail += other.tail;
    }
    inline void add(float factor, const Row& other) {
        for (int v = 0; v < WHOLE; ++v) whole[v] += factor * other.whole[v];
        if (TAIL) tail += factor * other.tail;
    }
    inline void relu() {
        for (int v = 0; v < WHOLE; ++v) whole[v] = whole[v] > 0 ? whole[v] : Vector{};
        if (TAIL) tail = tail > 0 ? tail : Tail{};
    }
    // The gradient of what went into ReLU, from that of what came out.
    inline void through_relu(const Row& state) {
        for (int v = 0; v < WHOLE; ++v) whole[v] = state.whole[v] > 0 ? whole[v] : Vector{};
        if (TAIL) tail = state.tail > 0 ? tail : Tail{};
    }
    inline void through_sigmoid(const Row& state) {
        for (int v = 0; v < WHOLE; ++v) whole[v] *= state.whole[v] * (1 - state.whole[v]);
        if (TAIL) tail *= state.tail * (1 - state.tail);
    }
};

// Sums of products of two rows, one sum per place of a vector until it is asked for.
struct Dot {
    Vector whole;
    Tail rest;

    inline void add(const Row& left, const Row& right) {
        for (int v = 0; v < WHOLE; ++v) whole += left.whole[v] * right.whole[v];
        if (TAIL) rest += left.tail * right.tail;
    }
    inline float sum() const {
        float total = 0;
        for (int i = 0; i < WIDTH; ++i) total += whole[i];
        if (TAIL)
            for (int i = 0; i < TAIL; ++i) total += rest[i];
        return total;
    }
};

// N rows of C = A B: A(n, k) = A[n * a_row + k * a_column]; rows of B are ROW floats at every b_row, of C at every ROW.
template <int N>
inline void some_rows(const float* A, int64_t a_row, int64_t a_column, const float* B, int64_t b_row, float* C, int64_t K) {
    Row sums[N];
    for (int n = 0; n < N; ++n) sums[n] = Row::zero();
    for (int64_t k = 0; k < K; ++k) {
        const Row b = Row::load(B + k * b_row);
        for (int n = 0; n < N; ++n) sums[n].add(A[n * a_row + k * a_column], b);
    }
    for (int n = 0; n < N; ++n) sums[n].store(C + n * ROW);
}

inline void multiply(
    const float* A, int64_t a_row, int64_t a_column, const float* B, int64_t b_row, float* C, int64_t rows, int64_t K) {
    int64_t n = 0;
    for (; n + ROWS <= rows; n += ROWS) some_rows<ROWS>(A + n * a_row, a_row, a_column, B, b_row, C + n * ROW, K);
    for (; n < rows; ++n) some_rows<1>(A + n * a_row, a_row, a_column, B, b_row, C + n * ROW, K);
}

constexpr int SQUARE = HIDDEN * ROW;

struct Sizes {
    int64_t sequences, networks, directions, nodes, length, projections, steps, first_step, relu;
};

struct Graph {
    const int32_t *order, *before_start, *before, *after_start, *after;
    int64_t before_most, after_most;
};

}  // namespace

extern "C" {

int32_t row_floats() { return ROW; }

// s is written at the steps from first_step.
void scan_forward(
    const Sizes* sizes, const Graph* graph, const float* P, const int32_t* frame, const float* weight, const float* W,
    const float* G, float* h, float* s, int32_t threads) {
    const Sizes z = *sizes;
    const int64_t J = z.networks * z.directions, block = z.length * ROW, in_row = J * HIDDEN;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> handed_on(z.nodes * block), W_transposed(SQUARE);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < z.sequences * J; ++task) {
            const int64_t sequence = task / J, j = task % J, m = j / z.directions, d = j % z.directions;
            const int32_t* order = graph->order + d * z.nodes;
            const int32_t* before_start = graph->before_start + d * (z.nodes + 1);
            const int32_t* before = graph->before + d * graph->before_most;
            const int32_t* after_start = graph->after_start + d * (z.nodes + 1);
            for (int k = 0; k < HIDDEN; ++k)
                for (int i = 0; i < ROW; ++i) W_transposed[k * ROW + i] = i < HIDDEN ? W[(j * HIDDEN + i) * HIDDEN + k] : 0;
            float* states = h + task * z.nodes * block;
            for (int64_t visit = 0; visit < z.nodes; ++visit) {
                const int64_t node = order[visit];
                float* state = states + node * block;
                for (int64_t t = 0; t < z.length; ++t) {
                    const int64_t step = sequence * z.length + t;
                    Row sum = Row::zero();
                    for (int tap = 0; tap < 2; ++tap)
                        if (const float share = weight[2 * step + tap])
                            sum.add(share, Row::load_exactly(P + (frame[2 * step + tap] * z.nodes + node) * in_row + j * HIDDEN));
                    for (int32_t n = before_start[node]; n < before_start[node + 1]; ++n)
                        sum.add(Row::load(handed_on.data() + before[n] * block + t * ROW));
                    if (z.relu) sum.relu();
                    sum.store(state + t * ROW);
                }
                if (!z.relu)
                    for (int64_t i = 0; i < block; ++i) state[i] = 1 / (1 + std::exp(-state[i]));
                if (after_start[node] < after_start[node + 1])
                    multiply(state, ROW, 1, W_transposed.data(), ROW, handed_on.data() + node * block, z.length, HIDDEN);
            }
            // Equation (3), a few columns of G at a time.
            const float* weights = G + j * z.nodes * z.projections;
            for (int64_t t = 0; t < z.length; ++t) {
                float* out = s + ((m * z.steps + z.first_step + sequence * z.length + t) * z.directions + d) * z.projections * HIDDEN;
                int64_t l = 0;
                for (; l + ROWS <= z.projections; l += ROWS) {
                    Row sums[ROWS];
                    for (int n = 0; n < ROWS; ++n) sums[n] = Row::zero();
                    for (int64_t node = 0; node < z.nodes; ++node) {
                        const Row state = Row::load(states + node * block + t * ROW);
                        for (int n = 0; n < ROWS; ++n) sums[n].add(weights[node * z.projections + l + n], state);
                    }
                    for (int n = 0; n < ROWS; ++n) sums[n].store_exactly(out + (l + n) * HIDDEN);
                }
                for (; l < z.projections; ++l) {
                    Row sum = Row::zero();
                    for (int64_t node = 0; node < z.nodes; ++node)
                        sum.add(weights[node * z.projections + l], Row::load(states + node * block + t * ROW));
                    sum.store_exactly(out + l * HIDDEN);
                }
            }
        }
    }
}

// dP is overwritten at all frames of the chunk; those of sequence b are first_frame[b] ... first_frame[b + 1] - 1.
void scan_backward(
    const Sizes* sizes, const Graph* graph, const float* ds, const int32_t* frame, const float* weight,
    const int32_t* first_frame, const float* W, const float* G, const float* h, float* dP, float* dW, float* dG,
    int32_t threads) {
    const Sizes z = *sizes;
    const int64_t J = z.networks * z.directions, block = z.length * ROW, in_row = J * HIDDEN;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> gradients(z.nodes * block), received(z.nodes * block), arriving(z.projections * block);
        std::vector<float> W_rows(SQUARE), product(block), square(SQUARE), of_frames;
        std::vector<Dot> dots(z.projections);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < z.sequences * J; ++task) {
            const int64_t sequence = task / J, j = task % J, m = j / z.directions, d = j % z.directions;
            const int32_t* order = graph->order + d * z.nodes;
            const int32_t* after_start = graph->after_start + d * (z.nodes + 1);
            const int32_t* after = graph->after + d * graph->after_most;
            const float* states = h + task * z.nodes * block;
            const float* weights = G + j * z.nodes * z.projections;
            float* dG_task = dG + task * z.nodes * z.projections;
            const int64_t begin = first_frame[sequence], n_frames = first_frame[sequence + 1] - begin;
            of_frames.resize(n_frames * ROW);
            for (int k = 0; k < HIDDEN; ++k)
                for (int i = 0; i < ROW; ++i) W_rows[k * ROW + i] = i < HIDDEN ? W[(j * HIDDEN + k) * HIDDEN + i] : 0;
            for (int64_t t = 0; t < z.length; ++t) {
                const float* in = ds + ((m * z.steps + z.first_step + sequence * z.length + t) * z.directions + d) * z.projections * HIDDEN;
                for (int64_t l = 0; l < z.projections; ++l)
                    Row::load_exactly(in + l * HIDDEN).store(arriving.data() + (t * z.projections + l) * ROW);
            }
            for (int64_t visit = z.nodes - 1; visit >= 0; --visit) {
                const int64_t node = order[visit];
                const float* state = states + node * block;
                float* gradient = gradients.data() + node * block;
                float* back = received.data() + node * block;
                const bool hands_on = after_start[node] < after_start[node + 1];
                if (hands_on) {
                    for (int64_t t = 0; t < z.length; ++t) {
                        Row sum = Row::zero();
                        for (int32_t n = after_start[node]; n < after_start[node + 1]; ++n)
                            sum.add(Row::load(gradients.data() + after[n] * block + t * ROW));
                        sum.store(back + t * ROW);
                    }
                    multiply(back, ROW, 1, W_rows.data(), ROW, product.data(), z.length, HIDDEN);
                } else {
                    std::memset(back, 0, sizeof(float) * block);
                    std::memset(product.data(), 0, sizeof(float) * block);
                }
                for (Dot& dot : dots) dot = Dot{};
                std::memset(of_frames.data(), 0, sizeof(float) * of_frames.size());
                for (int64_t t = 0; t < z.length; ++t) {
                    const Row here = Row::load(state + t * ROW);
                    Row sum = Row::load(product.data() + t * ROW);
                    for (int64_t l = 0; l < z.projections; ++l) {
                        const Row arrived = Row::load(arriving.data() + (t * z.projections + l) * ROW);
                        sum.add(weights[node * z.projections + l], arrived);
                        dots[l].add(here, arrived);
                    }
                    z.relu ? sum.through_relu(here) : sum.through_sigmoid(here);
                    sum.store(gradient + t * ROW);
                    const int64_t step = sequence * z.length + t;
                    for (int tap = 0; tap < 2; ++tap)
                        if (const float share = weight[2 * step + tap]) {
                            float* of_frame = of_frames.data() + (frame[2 * step + tap] - begin) * ROW;
                            Row total = Row::load(of_frame);
                            total.add(share, sum);
                            total.store(of_frame);
                        }
                }
                for (int64_t l = 0; l < z.projections; ++l) dG_task[node * z.projections + l] = dots[l].sum();
                for (int64_t f = 0; f < n_frames; ++f)
                    Row::load(of_frames.data() + f * ROW).store_exactly(dP + ((begin + f) * z.nodes + node) * in_row + j * HIDDEN);
            }
            multiply(received.data(), 1, ROW, states, ROW, square.data(), HIDDEN, z.nodes * z.length);
            for (int k = 0; k < HIDDEN; ++k)
                Row::load(square.data() + k * ROW).store_exactly(dW + (task * HIDDEN + k) * HIDDEN);
        }
    }
}
}

// The op for OpenVINO: a MatMul with vector-quantized weights. Also C functions, by which the kernels are measured.
#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/op/op.hpp>

#include <memory>

#include "multiply.hpp"

namespace vector_quantized {

// x [..., k], weights u8 (see weights.hpp) -> [..., n]
//
// The plugin clones the op and its inputs for each inference, to infer shapes: about a microsecond for every input. It
// also keeps constants of f16 once more in f32. So all weights are one input of bytes.
class VectorQuantizedMatMul : public ov::op::Op {
  public:
    OPENVINO_OP("VectorQuantizedMatMul", "extension");
    VectorQuantizedMatMul() = default;
    VectorQuantizedMatMul(const ov::OutputVector& inputs, int64_t k, int64_t n, int64_t d, int64_t entries, int64_t books)
        : Op(inputs), k_(k), n_(n), d_(d), entries_(entries), books_(books) {
        constructor_validate_and_infer_types();
    }

    void validate_and_infer_types() override {
        const Shape s = shape();
        NODE_VALIDATION_CHECK(this, get_input_size() == 2, "two inputs");
        NODE_VALIDATION_CHECK(this, k_ > 0 && n_ > 0 && books_ > 0, "k, n and books are positive");
        NODE_VALIDATION_CHECK(this, entries_ > 0 && s.entries <= kMostEntries, "entries are 1 to ", kMostEntries);
        NODE_VALIDATION_CHECK(this, (d_ == 2 || d_ == 4 || d_ == 8) && k_ % d_ == 0, "d is 2, 4 or 8 and divides k");
        check_size(1, s.bytes());
        NODE_VALIDATION_CHECK(this, get_input_element_type(1) == ov::element::u8, "weights are u8");
        auto x = get_input_partial_shape(0);
        if (x.rank().is_static()) {
            NODE_VALIDATION_CHECK(this, x.size() > 0 && x[x.size() - 1].compatible(k_), "the last axis of x is k");
            x[x.size() - 1] = n_;
        }
        set_output_type(0, get_input_element_type(0), x);
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        return std::make_shared<VectorQuantizedMatMul>(inputs, k_, n_, d_, entries_, books_);
    }

    bool visit_attributes(ov::AttributeVisitor& visitor) override {
        visitor.on_attribute("k", k_);
        visitor.on_attribute("n", n_);
        visitor.on_attribute("d", d_);
        visitor.on_attribute("entries", entries_);
        visitor.on_attribute("books", books_);
        return true;
    }

    bool has_evaluate() const override { return get_input_element_type(0) == ov::element::f32; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        ov::Shape to = inputs[0].get_shape();
        const size_t tokens = ov::shape_size(to) / size_t(k_);
        to.back() = size_t(n_);
        outputs[0].set_shape(to);
        if (tokens == 0) return true;
        const Shape s = shape();
        const auto* codes = inputs[1].data<uint8_t>();
        const auto* halves = reinterpret_cast<const uint16_t*>(codes + s.code_bytes());
        const Weights weights{s, codes, halves + s.values()};
        multiply(choice_for(s), weights, *codebooks(halves), inputs[0].data<float>(), outputs[0].data<float>(), tokens);
        return true;
    }

  private:
    int64_t k_ = 0, n_ = 0, d_ = 0, entries_ = 0, books_ = 0;
    mutable std::shared_ptr<const Codebooks> codebooks_;

    Shape shape() const { return {size_t(k_), size_t(n_), size_t(d_), size_t(entries_), size_t(books_)}; }

    void check_size(size_t input, size_t count) const {
        const auto& given = get_input_partial_shape(input);
        if (given.is_dynamic()) return;
        size_t size = 1;  // without to_shape, which allocates: the plugin validates anew for each inference
        for (const auto& dimension : given) size *= size_t(dimension.get_length());
        NODE_VALIDATION_CHECK(this, size == count, "size of input ", input);
    }

    std::shared_ptr<const Codebooks> codebooks(const uint16_t* halves) const {
        auto ready = std::atomic_load(&codebooks_);
        if (ready && ready->halves == halves) return ready;
        ready = std::make_shared<Codebooks>(shape(), halves);
        std::atomic_store(&codebooks_, ready);
        return ready;
    }
};

}  // namespace vector_quantized

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>(
    {std::make_shared<ov::OpExtension<vector_quantized::VectorQuantizedMatMul>>()}));

extern "C" {

void* ovpass_codebooks(const size_t* shape, const uint16_t* values) {
    return new vector_quantized::Codebooks({shape[0], shape[1], shape[2], shape[3], shape[4]}, values);
}

// Reads all of it, and does nothing else: how fast codes can come from memory.
uint64_t ovpass_read(const uint8_t* bytes, size_t size) {
    using namespace vector_quantized;
    constexpr size_t kPiece = size_t(1) << 18;
    std::vector<uint64_t> sums(divided_up(size, kPiece));
    for_each(sums.size(), [&](size_t i) {
        const size_t words = std::min(kPiece, size - i * kPiece) / 8;
        const auto* from = reinterpret_cast<const uint64_t*>(bytes + i * kPiece);
        uint64_t sum = 0;
        for (size_t w = 0; w < words; w++) sum += from[w];
        sums[i] = sum;
    });
    uint64_t total = 0;
    for (uint64_t sum : sums) total += sum;
    return total;
}

void ovpass_release(void* codebooks) { delete static_cast<vector_quantized::Codebooks*>(codebooks); }

// choice: rows at once, few tokens. shape: k, n, d, entries, books.
void ovpass_multiply(const size_t* choice, const size_t* shape, const uint8_t* codes, const void* codebooks,
                     const uint16_t* scale, const float* x, float* y, size_t tokens) {
    using namespace vector_quantized;
    const Weights weights{{shape[0], shape[1], shape[2], shape[3], shape[4]}, codes, scale};
    multiply({0, 0, 0, 0, 0, choice[0], choice[1]}, weights, *static_cast<const Codebooks*>(codebooks), x, y, tokens);
}

}

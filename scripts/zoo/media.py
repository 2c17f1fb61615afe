"""Tiny models of sound and pictures with random weights, saved as Hugging Face folders."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from zoo.text import BLOCKS, FFN, HEAD, HEADS, HIDDEN, KV_HEADS, POSITIONS, VOCAB, Build, save

PATCH, PICTURE = 14, 56


def _tokenizer(folder: Path, *extra: str) -> None:
    """Words w0, w1, ... and what the processors ask for; it stands in for one that nobody trained."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *extra]
    words += [f"w{index}" for index in range(VOCAB - len(words))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=list(extra), **special)
    fast.save_pretrained(folder)


def whisper() -> Build:
    """Convolutions and an encoder over a spectrogram, a decoder with cross-attention."""

    def build(folder: Path) -> None:
        torch.manual_seed(0)
        config = hf.WhisperConfig(
            vocab_size=VOCAB, d_model=HIDDEN, encoder_layers=BLOCKS, decoder_layers=BLOCKS,
            encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=FFN, decoder_ffn_dim=FFN,
            max_source_positions=POSITIONS, max_target_positions=POSITIONS, num_mel_bins=80,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            suppress_tokens=None, begin_suppress_tokens=None,
        )  # fmt: skip
        save(hf.WhisperForConditionalGeneration(config), folder)
        hf.WhisperFeatureExtractor().save_pretrained(folder)
        _tokenizer(folder)

    return build


def llava() -> Build:
    """A CLIP vision tower, a projector and a llama."""

    def build(folder: Path) -> None:
        torch.manual_seed(0)
        vision = hf.CLIPVisionConfig(
            hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=BLOCKS, num_attention_heads=HEADS,
            image_size=PICTURE, patch_size=PATCH, projection_dim=HIDDEN,
        )  # fmt: skip
        text = hf.LlamaConfig(
            vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=BLOCKS,
            num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=POSITIONS,
            tie_word_embeddings=False,
        )  # fmt: skip
        config = hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=4)
        save(hf.LlavaForConditionalGeneration(config), folder)
        _tokenizer(folder, "<image>")
        square = {"height": PICTURE, "width": PICTURE}
        pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": PICTURE}, crop_size=square)
        tokenizer = hf.PreTrainedTokenizerFast.from_pretrained(folder)
        hf.LlavaProcessor(pictures, tokenizer, patch_size=PATCH, image_token="<image>").save_pretrained(folder)

    return build


def qwen2_vl() -> Build:
    """Pictures of any size as a sequence of patches, with a merger; three axes of positions."""

    def build(folder: Path) -> None:
        torch.manual_seed(0)
        vision = {"depth": BLOCKS, "embed_dim": HEAD, "num_heads": 1, "hidden_size": HIDDEN, "mlp_ratio": 2,
                  "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
        tokens = {"vision_start_token_id": 4, "vision_end_token_id": 5, "image_token_id": 6, "video_token_id": 7}
        config = hf.Qwen2VLConfig(
            vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=BLOCKS,
            num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=POSITIONS,
            rope_scaling={"type": "mrope", "mrope_section": [8, 12, 12]}, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=False, vision_config=vision, **tokens,
        )  # fmt: skip
        save(hf.Qwen2VLForConditionalGeneration(config), folder)
        _tokenizer(folder, "<vision>", "</vision>", "<image>", "<video>")
        hf.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=PICTURE**2).save_pretrained(folder)

    return build


def sd3() -> Build:
    """A diffusion transformer over two streams, and the other models that the exporter wants in its pipeline."""

    def build(folder: Path) -> None:
        import diffusers as df  # noqa: PLC0415

        torch.manual_seed(0)
        _tokenizer(folder / "words")
        words = hf.PreTrainedTokenizerFast.from_pretrained(folder / "words")
        words.model_max_length = 16
        clip = hf.CLIPTextConfig(
            vocab_size=VOCAB, hidden_size=64, intermediate_size=FFN, num_hidden_layers=1, num_attention_heads=1,
            max_position_embeddings=16, projection_dim=64,
        )  # fmt: skip
        t5 = hf.T5EncoderModel(
            hf.T5Config(vocab_size=VOCAB, d_model=HIDDEN, d_kv=HEAD, d_ff=FFN, num_layers=1, num_heads=HEADS)
        )
        transformer = df.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=BLOCKS, attention_head_dim=HEAD,
            num_attention_heads=HEADS, joint_attention_dim=HIDDEN, caption_projection_dim=HIDDEN,
            pooled_projection_dim=HIDDEN, out_channels=4, pos_embed_max_size=8, qk_norm="rms_norm",
        )  # fmt: skip
        vae = df.AutoencoderKL(
            block_out_channels=(32,), latent_channels=4, sample_size=16, norm_num_groups=8, layers_per_block=1,
            shift_factor=0.0,
        )  # fmt: skip
        df.StableDiffusion3Pipeline(
            transformer, df.FlowMatchEulerDiscreteScheduler(), vae,
            hf.CLIPTextModelWithProjection(clip), words, hf.CLIPTextModelWithProjection(clip), words, t5, words,
        ).save_pretrained(folder)  # fmt: skip

    return build

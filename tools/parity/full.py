#!/usr/bin/env python3
"""LLaVA-OneVision in the 0.5B configuration with random weights: what transformers computes, and how long it takes.

    full.py make FOLDER     write the folder: configuration, tokenizer, weights (1.8 GB, bf16) and expected tensors
    full.py time FOLDER     time vision, prefill and decoding in f32

`scripts/parity.sh` runs both and then the same in burn (`examples/llava_onevision_parity.rs`).
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

FRAMES, TEXT_TOKENS, ANSWER = 2, 24, 16


def configuration():
    vision = SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=26,
        num_attention_heads=16,
        image_size=384,
        patch_size=14,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=152000,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
    )
    return LlavaOnevisionConfig(vision_config=vision, text_config=text, tie_word_embeddings=True)


def random_weights(model):
    """Scales under which activations neither vanish nor explode over the layers."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(generator=generator)
            if tensor.dim() == 1:
                tensor.mul_(0.1)
                if "norm" in name and name.endswith("weight"):
                    tensor.add_(1.0)
            elif "embed" in name:
                tensor.mul_(0.5 if "position" in name else tensor[0].numel() ** -0.5 * (1 if "patch" in name else 20))
            else:
                tensor.mul_(tensor[0].numel() ** -0.5)
            tensor.copy_(tensor.to(torch.bfloat16))


def open_model(folder):
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def inputs(model, frames, text_tokens):
    generator = torch.Generator().manual_seed(1)
    video = model.config.video_token_index
    tokens = frames * 196 + 1
    text = torch.randint(0, 151000, (text_tokens,), generator=generator)
    half = text_tokens // 2
    ids = torch.cat([text[:half], torch.full((tokens,), video), text[half:]])[None]
    pixels = torch.rand((1, frames, 3, 384, 384), generator=generator) * 2 - 1
    return {"input_ids": ids, "pixel_values_videos": pixels, "attention_mask": torch.ones_like(ids)}


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.safetensors").exists():
        with torch.device("meta"):
            model = LlavaOnevisionForConditionalGeneration(configuration())
        model = model.to_empty(device="cpu")
        random_weights(model)
        model.tie_weights()
        model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="500MB")
        del model
    model = open_model(folder)
    tensors = inputs(model, FRAMES, TEXT_TOKENS)
    expected = {"input_ids": tensors["input_ids"][0], "pixels": tensors["pixel_values_videos"][0]}

    def keep(name):
        def hook(_module, _arguments, output):
            expected[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

        return hook

    tower = model.model.vision_tower
    tower = getattr(tower, "vision_model", tower)
    hooks = [
        tower.embeddings.register_forward_hook(keep("vision.embeddings")),
        model.model.multi_modal_projector.register_forward_hook(keep("projector")),
    ]
    hooks += [layer.register_forward_hook(keep(f"vision.{i}")) for i, layer in enumerate(tower.encoder.layers)]
    layers = model.model.language_model.layers
    hooks += [layer.register_forward_hook(keep(f"language.{i}")) for i, layer in enumerate(layers)]
    with torch.no_grad():
        expected["logits"] = model(**tensors).logits[0, -1]
        for hook in hooks:
            hook.remove()
        answer = model.generate(**tensors, do_sample=False, max_new_tokens=ANSWER, eos_token_id=None, pad_token_id=0)
    expected["answer"] = answer[0, tensors["input_ids"].shape[1] :]
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "expected.st")
    print("answer", expected["answer"].tolist())


def best(count, prepare, work):
    """The least wall-clock and processor time of `count` runs of `work` on what `prepare` made, in seconds."""
    wall, processor = [], []
    for _ in range(count):
        prepared = prepare()
        start, start_processor = time.perf_counter(), time.process_time()
        work(prepared)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return min(wall), min(processor)


def clock(folder, frames, text_tokens, answer, repeats):
    model = open_model(folder)
    language = model.model.language_model
    tensors = inputs(model, frames, text_tokens)
    tokens = tensors["input_ids"].shape[1]
    x = torch.randn((1, tokens, 896)) * 0.1

    def prompt(_=None):
        return language(inputs_embeds=x, use_cache=True).past_key_values

    def decode(cache):
        token = torch.tensor([[5]])
        for _ in range(answer):
            output = language(input_ids=token, past_key_values=cache, use_cache=True)
            token = model.lm_head(output.last_hidden_state[:, -1:]).argmax(-1)
            cache = output.past_key_values

    with torch.inference_mode():
        pixels = tensors["pixel_values_videos"][:, :1]
        results = [
            ("vision, one frame", best(repeats, lambda: None, lambda _: model.get_video_features(pixels)), 1),
            ("prefill", best(repeats, lambda: None, prompt), 1),
            ("decode, one token", best(repeats, prompt, decode), answer),
        ]
    for name, (wall, processor), count in results:
        print(f"{name}: {1e3 * wall / count:.1f} ms, {1e3 * processor / count:.1f} ms of processor time")
    print(f"prompt of {tokens} tokens, torch {torch.__version__}, {torch.get_num_threads()} threads")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "time"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="threads of PyTorch; 0 leaves its choice")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--text-tokens", type=int, default=48)
    parser.add_argument("--answer", type=int, default=16, help="tokens decoded")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.what == "make":
        make(arguments.folder)
    else:
        clock(arguments.folder, arguments.frames, arguments.text_tokens, arguments.answer, arguments.repeats)


if __name__ == "__main__":
    main()

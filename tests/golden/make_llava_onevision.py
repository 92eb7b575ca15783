#!/usr/bin/env python3
"""Writes tests/data/llava_onevision/: a tiny LLaVA-OneVision with random weights, and what transformers computes with it.

`model/` is a folder as Hugging Face publishes it. `layouts.json` has the names of its tensors in the three key layouts:
on disk, in newer transformers, and in lmms-lab's code. `expected.safetensors` has inputs, intermediate tensors, logits
and 16 greedy tokens of four prompts: text only, a video, a single image (tiles), two images; and the last logits of a
prompt of 3000 tokens.

    pip install torch torchvision transformers==5.23.0 && python3 tests/golden/make_llava_onevision.py
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

OUT = Path(__file__).resolve().parent.parent / "data" / "llava_onevision"
SIDE = 44  # with patches of 8: 5 of them, 4 pixels left over
GRIDS = [[SIDE * rows, SIDE * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = ["system user assistant You are a helpful assistant. How far did the red car travel between 2.5 s and 12 s?"] * 4


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    wrapped.add_special_tokens({"additional_special_tokens": SPECIAL})
    return wrapped


def make_model(tokenizer):
    image, video = (tokenizer.convert_tokens_to_ids(word) for word in ("<image>", "<video>"))
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer) + 3,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image,
        video_token_index=video,
        image_grid_pinpoints=GRIDS,
        vision_aspect_ratio="anyres_max_2",
        tie_word_embeddings=False,
    )
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            norm = tensor.dim() == 1 and "norm" in name and name.endswith("weight")
            scale = 0.3 if tensor.dim() == 1 else 1.6 * tensor[0].numel() ** -0.5
            # Half precision on disk without loss.
            tensor.copy_((noise * scale + (1.0 if norm else 0.0)).to(torch.bfloat16).float())
    return model


def original_name(name):
    """lmms-lab's name for a tensor of `state_dict()`."""
    for new, old in [
        ("model.vision_tower.", "model.vision_tower.vision_tower.vision_model."),
        ("model.multi_modal_projector.linear_1.", "model.mm_projector.0."),
        ("model.multi_modal_projector.linear_2.", "model.mm_projector.2."),
        ("model.language_model.", "model."),
    ]:
        if name.startswith(new):
            return old + name.removeprefix(new).removeprefix("vision_model.")
    return name


def picture(height, width, shift):
    y, x = np.mgrid[0:height, 0:width]
    red = 128 + 100 * np.sin((x + 3 * shift) / 5) * np.cos(y / 7)
    green = (x * 7 + y * 3 + shift * 11) % 256
    blue = 255 * (((x // 6) + (y // 5) + shift) % 2)
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    folder = OUT / "model"
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    settings = {"size": {"height": SIDE, "width": SIDE}, "image_mean": [0.5, 0.45, 0.4], "image_std": [0.5, 0.25, 0.3]}
    image_processor = LlavaOnevisionImageProcessor(image_grid_pinpoints=GRIDS, **settings)
    processor = LlavaOnevisionProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(**settings),
        num_image_tokens=25,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
    )
    folder.mkdir()
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    image_processor.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    # Read again, since the tables of angles were rounded as well.
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    state = model.state_dict()
    stored = {}
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in file.keys():
            stored[name] = file.get_tensor(name).float()
    # Pair the names by the tensors' values.
    pairs = []
    for name, tensor in stored.items():
        match = [key for key, own in state.items() if own.shape == tensor.shape and torch.equal(own, tensor)]
        assert len(match) == 1, (name, match)
        pairs.append((name, match[0]))
    layouts = [{"disk": disk, "module": module, "original": original_name(module)} for disk, module in sorted(pairs)]
    (OUT / "layouts.json").write_text(json.dumps(layouts, indent=0) + "\n")

    expected = {}
    question = "How far did the red car travel between 2.5 s and 12 s? Très loin, 10 m."
    frames = [picture(60, 90, shift) for shift in range(3)]
    single, several = picture(100, 71, 5), [picture(30, 64, 8), picture(50, 50, 9)]
    for index, frame in enumerate(frames):
        expected[f"frame.{index}"] = torch.from_numpy(frame.copy())
    expected["single"] = torch.from_numpy(single.copy())
    for index, image in enumerate(several):
        expected[f"several.{index}"] = torch.from_numpy(image.copy())

    turn = "<|im_start|>user {}\n" + question + "<|im_end|><|im_start|>assistant\n"
    cases = {
        "text": (turn.format(""), {}),
        "video": (turn.format("<video>"), {"videos": [torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)]}),
        "single": (turn.format("<image>"), {"images": [single]}),
        "several": (turn.format("<image><image>"), {"images": [several]}),
    }
    for case, (text, pictures) in cases.items():
        inputs = processor(text=text, return_tensors="pt", **pictures)
        tensors = {name: tensor for name, tensor in inputs.items() if isinstance(tensor, torch.Tensor)}
        seen = {}

        def keep(name):
            def hook(_module, _arguments, output):
                seen[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

            return hook

        hooks = [model.model.multi_modal_projector.register_forward_hook(keep("projector"))]
        tower = model.model.vision_tower
        tower = getattr(tower, "vision_model", tower)
        hooks.append(tower.embeddings.register_forward_hook(keep("vision.embeddings")))
        for index, layer in enumerate(tower.encoder.layers):
            hooks.append(layer.register_forward_hook(keep(f"vision.{index}")))
        for index, layer in enumerate(model.model.language_model.layers):
            hooks.append(layer.register_forward_hook(keep(f"language.{index}")))
        with torch.no_grad():
            logits = model(**tensors).logits
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            # No token ends the answer: all 16 are compared.
            model.generation_config.eos_token_id = None
            answer = model.generate(**tensors, do_sample=False, max_new_tokens=16, use_cache=True, pad_token_id=0)
        expected[f"{case}.input_ids"] = tensors["input_ids"][0]
        expected[f"{case}.logits"] = logits[0]
        expected[f"{case}.answer"] = answer[0, tensors["input_ids"].shape[1] :]
        for name in ("pixel_values", "pixel_values_videos"):
            if name in tensors:
                expected[f"{case}.pixels"] = tensors[name].flatten(0, -4) if case == "several" else tensors[name][0]
        if case in ("text", "video"):
            expected.update({f"{case}.{name}": tensor for name, tensor in seen.items()})
        print(case, len(expected[f"{case}.input_ids"]), "tokens, answer", expected[f"{case}.answer"].tolist())
    ids = torch.randint(0, 256, (1, 3000), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected["long.input_ids"] = ids[0]
        expected["long.logits"] = model(input_ids=ids, logits_to_keep=2).logits[0]
    expected = {name: tensor.contiguous() for name, tensor in expected.items()}
    save_file(expected, OUT / "expected.safetensors")
    for path in sorted(OUT.rglob("*")):
        if path.is_file():
            print(path.relative_to(OUT), path.stat().st_size)


if __name__ == "__main__":
    main()

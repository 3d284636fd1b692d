"""A song from model.onnx (`mp3net export`), with numpy and onnxruntime alone: python play.py model.onnx 7 20 song.wav"""

import argparse
import wave

import numpy as np
import onnxruntime

parser = argparse.ArgumentParser(description=__doc__)
for name, kind in (("model", str), ("seed", int), ("seconds", float), ("wav", str)):
    parser.add_argument(name, type=kind)
given = parser.parse_args()
session = onnxruntime.InferenceSession(given.model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
rate, channels, hop = (int(facts[name]) for name in ("sample_rate_hz", "channels", "samples_per_frame"))
numbers, samples = int(facts["usual_numbers"]), int(given.seconds * rate)
if facts["any_length"] == "true":  # one frame more than hops, in whole parts
    parts = -(-(samples // hop + 2) // int(facts["frames_per_part"]))
    numbers = int(facts["common_numbers"]) + parts * int(facts["numbers_per_part"])
z = np.random.default_rng(given.seed).standard_normal((1, numbers), dtype=np.float32)
audio = session.run(None, {"z": z})[0][:, :samples]
audio = audio / max(1.0, np.abs(audio).max())
with wave.open(given.wav, "wb") as file:
    file.setparams((channels, 2, rate, 0, "NONE", ""))
    file.writeframes((audio.T * 32767).astype("<i2").tobytes())
print(f"{given.wav}: {audio.shape[1] / rate:.2f} s, {facts.get('name', '')} {facts['snapshot']}, {facts.get('licence', '')}")

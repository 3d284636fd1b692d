"""A song from model.onnx (`mp3net export`), with numpy and onnxruntime alone: python play.py model.onnx 7 20 song.wav"""

import sys
import wave

import numpy as np
import onnxruntime

if len(sys.argv) != 5 or not sys.argv[4].endswith(".wav"):
    sys.exit(f"usage: {__doc__}")
path, seed, seconds, out = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
rate, channels, hop = (int(facts[name]) for name in ("sample_rate_hz", "channels", "samples_per_frame"))
numbers = int(facts["usual_numbers"])
if facts["any_length"] == "true":  # one frame more than hops, in whole parts
    parts = -(-(int(seconds * rate) // hop + 2) // int(facts["frames_per_part"]))
    numbers = int(facts["common_numbers"]) + parts * int(facts["numbers_per_part"])
z = np.random.default_rng(seed).standard_normal((1, numbers), dtype=np.float32)
audio = session.run(None, {"z": z})[0][:, : int(seconds * rate)]
audio = audio / max(1.0, np.abs(audio).max())
with wave.open(out, "wb") as file:
    file.setparams((channels, 2, rate, 0, "NONE", ""))
    file.writeframes((audio.T * 32767).astype("<i2").tobytes())
print(f"{out}: {audio.shape[1] / rate:.2f} s, {facts.get('name', '')} {facts['snapshot']}, {facts.get('licence', '')}")

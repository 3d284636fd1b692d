"""The second family's generator as a graph: z (1, Z) of any number of parts -> coefficients (C, F, T)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from mp3net.config import AudioConfig, Mp3net2Model
from mp3net.dsp import tables
from mp3net.dsp.beats import BEATS_PER_BAR
from mp3net.export.graph import Graph
from mp3net.model.mp3net2.values import EXPANDED_GAIN, EXPANDED_TO, EXPANSION_FLOOR, LEAKY_SLOPE, ROTARY_BASE


class SecondGraph:
    """Writes the generator (`model/mp3net2/instant.py` has the same sums) down, with its weights. Frames are rows (T, W)."""

    def __init__(self, graph: Graph, config: Mp3net2Model, audio: AudioConfig, weights: Mapping[str, np.ndarray]) -> None:
        self.graph, self.config, self.audio, self.weights = graph, config, audio, weights

    def coefficients(self, z: str) -> str:
        graph, config = self.graph, self.config
        common = graph.slice(z, 0, config.common_size, axis=1)
        parts = graph.reshape(graph.slice(z, config.common_size, 0, axis=1), -1, config.part_size)
        frames = [count for count in config.generator_level_frames for _ in range(config.blocks_per_level)]
        sizes = [config.local_dim, *(config.noise_channels * count for count in frames)]
        local, *noise = graph.op("Split", parts, graph.constant(sizes), axis=1, outputs=len(sizes))
        given = iter([graph.reshape(piece, -1, config.noise_channels) for piece in noise])
        style = self._style(graph.slice(common, 0, config.global_dim, axis=1), local)
        beat = self._beat(common) if config.beat_clocks else None
        key = self._key(common) if config.keys else None
        x = graph.reshape(self._affine("start", local), -1, config.level_widths[0])
        for number, each in enumerate(config.generator_level_frames):
            if number:
                if f"steps.{number - 1}.weight" in self.weights:
                    x = self._affine(f"steps.{number - 1}", x)
                x = self._doubled(x)
            for block in range(config.blocks_per_level):
                heard = next(given)
                guides = [] if beat is None else self._clocks(heard, beat, each)
                guides += [] if key is None else [self._in_all_frames(heard, key)]
                heard = graph.op("Concat", heard, *guides, axis=1) if guides else heard
                x = self._block(f"levels.{number}.{block}", x, style, heard, each)
            x = x if number else self._attention(x)
        x = self._leaky(x)
        made = self._played(x, common) if config.partials_per_bin else self._direct(x)
        return str(graph.op("Mul", made, graph.constant(self.weights["bin_levels"][:, None])))

    def _style(self, latent: str, local: str) -> str:
        """(n, G), or (1, G) where all parts have the same."""
        graph, share = self.graph, self.config.global_share
        if share < 1:
            own = graph.op("Mul", local, graph.constant(math.sqrt(1 - share)))
            latent = graph.op("Add", graph.op("Mul", latent, graph.constant(math.sqrt(share))), own)
        return self._affine("mapping.1", self._leaky(self._affine("mapping.0", latent)))

    def _beat(self, common: str) -> tuple[str, str, str]:
        """Frames of a bar, the part of a bar gone by at the beginning, and the tempo (`dsp/beats.py`), each (1, 1)."""
        graph = self.graph
        logs = np.log(self.weights["beat_frames"])
        latents = graph.slice(common, self.config.beat_place, self.config.key_place, axis=1)
        share = self._share_below(latents)
        place = graph.op("Mul", graph.slice(share, 0, 1, axis=1), graph.constant(len(logs) - 1.0))
        low = graph.op("Min", graph.op("Floor", place), graph.constant(len(logs) - 2.0))
        row = graph.op("Cast", low, to=TensorProto.INT64)
        below = graph.op("Gather", graph.constant(logs), row)
        rise = graph.op("Gather", graph.constant(np.diff(logs)), row)
        beat = graph.op("Add", below, graph.op("Mul", rise, graph.op("Sub", place, low)))
        bar = graph.op("Mul", graph.op("Exp", beat), graph.constant(float(BEATS_PER_BAR)))
        tempo = graph.op("Sub", beat, graph.constant(float(logs[len(logs) // 2])))
        return bar, graph.slice(share, 1, 2, axis=1), tempo

    def _key(self, common: str) -> str:
        """The key's channels (1, K) (`dsp/keys.py`)."""
        graph, place = self.graph, self.config.key_place
        upto = self.weights["key_shares"][None]
        latent = graph.slice(common, place, place + 1, axis=1)
        share = self._share_below(latent)
        edges = (
            np.concatenate([np.full((1, 1), -1.0), upto[:, :-1]], 1),
            np.concatenate([upto[:, :-1], np.full((1, 1), 2.0)], 1),
        )
        above = graph.op("GreaterOrEqual", share, graph.constant(edges[0]))
        below = graph.op("Less", share, graph.constant(edges[1]))
        return str(graph.op("Cast", graph.op("And", above, below), to=TensorProto.FLOAT))

    def _share_below(self, latent: str) -> str:
        """Phi(z) = (1 + erf(z / sqrt 2)) / 2 of normal numbers z."""
        graph = self.graph
        erf = graph.op("Erf", graph.op("Mul", latent, graph.constant(math.sqrt(0.5))))
        return str(graph.op("Mul", graph.op("Add", erf, graph.constant(1.0)), graph.constant(0.5)))

    def _in_all_frames(self, noise: str, row: str) -> str:
        """A row (1, K) for every frame of the noise (T, ...)."""
        graph = self.graph
        return str(graph.op("Add", graph.op("Mul", graph.slice(noise, 0, 1, axis=1), graph.constant(0.0)), row))

    def _clocks(self, noise: str, beat: tuple[str, str, str], each: int) -> list[str]:
        """The clocks of the beat in the frames of the noise (T, K), of a level with so many in each part."""
        graph, (bar, begin, tempo) = self.graph, beat
        hops = self.config.frames_per_part // each
        faster = 2.0 ** np.arange(self.config.beat_clocks)[None]
        frames = graph.op("Range", graph.constant(0), graph.size(noise, 0), graph.constant(1))
        times = graph.op("Unsqueeze", graph.op("Cast", frames, to=TensorProto.FLOAT), graph.constant([1]))
        times = graph.op("Mul", graph.op("Add", times, graph.constant(0.5)), graph.constant(float(hops)))
        turns = graph.op("Mul", graph.op("Add", graph.op("Div", times, bar), begin), graph.constant(faster))
        turns = graph.op("Sub", turns, graph.op("Floor", turns))
        angle = graph.op("Mul", turns, graph.constant(2 * math.pi))
        per_frame = graph.op("Div", graph.constant(2 * hops * faster), bar)
        heard = graph.op("Sub", graph.constant(1.0), graph.op("Mul", per_frame, per_frame))
        heard = graph.op("Max", heard, graph.constant(0.0))
        cosine, sine = (graph.op("Mul", heard, graph.op(name, angle)) for name in ("Cos", "Sin"))
        return [cosine, sine, self._in_all_frames(noise, tempo)]

    def _affine(self, name: str, x: str) -> str:
        return self.graph.affine(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _leaky(self, x: str) -> str:
        return str(self.graph.op("LeakyRelu", x, alpha=LEAKY_SLOPE))

    def _neighbours(self, x: str) -> tuple[str, str]:
        graph = self.graph
        before = graph.op("Concat", graph.slice(x, 0, 1), graph.slice(x, 0, -1), axis=0)
        after = graph.op("Concat", graph.slice(x, 1, 0), graph.slice(x, -1, 0), axis=0)
        return before, after

    def _conv(self, name: str, x: str) -> str:
        before, after = self._neighbours(x)
        return self._affine(name, self.graph.op("Concat", before, x, after, axis=1))

    def _block(self, name: str, x: str, style: str, noise: str, each: int) -> str:
        graph = self.graph
        scale, shift = graph.op("Split", self._stretched(self._affine(f"{name}.modulation", style), each), axis=1, outputs=2)
        h = self._leaky(x)
        h = graph.op("Add", graph.op("Mul", h, graph.op("Add", scale, graph.constant(1.0))), shift)
        h = self._conv(f"{name}.first", graph.op("Concat", h, noise, axis=1))
        return str(graph.op("Add", x, self._conv(f"{name}.second", self._leaky(h))))

    def _stretched(self, x: str, each: int) -> str:
        """Numbers of parts (n, W) -> of their frames, on straight lines; with one style for all, (1, W) as they are."""
        if self.config.global_share == 1:
            return x
        graph = self.graph
        offset = (np.arange(each) + 0.5) / each - 0.5
        back, ahead = np.maximum(-offset, 0)[:, None], np.maximum(offset, 0)[:, None]
        before, after = self._neighbours(x)
        terms = [
            graph.op("Mul", graph.op("Unsqueeze", value, graph.constant([1])), graph.constant(weights))
            for value, weights in ((x, 1 - back - ahead), (before, back), (after, ahead))
        ]
        made = graph.op("Add", graph.op("Add", terms[0], terms[1]), terms[2])
        return str(graph.op("Reshape", made, self._rows_of(made)))

    def _rows_of(self, x: str) -> str:
        """The shape (-1, W) for (n, each, W)."""
        graph = self.graph
        return str(graph.op("Concat", graph.constant([-1]), graph.slice(graph.op("Shape", x), 2, 3), axis=0))

    def _doubled(self, x: str) -> str:
        graph = self.graph
        before, after = self._neighbours(x)
        near = graph.op("Mul", x, graph.constant(0.75))
        pair = [
            graph.op("Unsqueeze", graph.op("Add", near, graph.op("Mul", other, graph.constant(0.25))), graph.constant([1]))
            for other in (before, after)
        ]
        both = graph.op("Concat", *pair, axis=1)
        return str(graph.op("Reshape", both, self._rows_of(both)))

    def _attention(self, x: str) -> str:
        graph, heads = self.graph, self.config.attention_heads
        size = len(self.weights["attention.to_parts.bias"]) // (3 * heads)
        parts = graph.reshape(self._affine("attention.to_parts", self._leaky(x)), -1, 3, heads, size)
        parts = graph.op("Transpose", parts, perm=[1, 2, 0, 3])
        query, key, value = (graph.op("Squeeze", part, graph.constant([0])) for part in graph.op("Split", parts, outputs=3))
        frames = graph.op("Range", graph.constant(0), graph.size(x, 0), graph.constant(1))
        frequencies = ROTARY_BASE ** (-np.arange(size // 2) / (size // 2))
        times = graph.op("Unsqueeze", graph.op("Cast", frames, to=TensorProto.FLOAT), graph.constant([1]))
        angle = graph.op("Mul", times, graph.constant(frequencies))
        query, key = (
            self._rotated(self._unit(part), graph.op("Cos", angle), graph.op("Sin", angle)) for part in (query, key)
        )
        scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 2, 1]))
        scores = graph.op("Softmax", graph.op("Mul", scores, graph.constant(1 / math.sqrt(size))), axis=-1)
        taken = graph.op("Transpose", graph.op("MatMul", scores, value), perm=[1, 0, 2])
        return str(graph.op("Add", x, self._affine("attention.to_out", graph.reshape(taken, -1, heads * size))))

    def _unit(self, x: str) -> str:
        graph = self.graph
        power = graph.op("ReduceMean", graph.op("Mul", x, x), axes=[-1], keepdims=1)
        return str(graph.op("Div", x, graph.op("Sqrt", graph.op("Add", power, graph.constant(1e-6)))))

    def _rotated(self, x: str, cosine: str, sine: str) -> str:
        graph = self.graph
        a, b = graph.op("Split", x, axis=-1, outputs=2)
        real = graph.op("Sub", graph.op("Mul", a, cosine), graph.op("Mul", b, sine))
        imaginary = graph.op("Add", graph.op("Mul", a, sine), graph.op("Mul", b, cosine))
        return str(graph.op("Concat", real, imaginary, axis=-1))

    def _direct(self, x: str) -> str:
        """The head of coefficients."""
        made = self.graph.reshape(self._conv("to_bins", x), -1, self.audio.channels, self.audio.num_bins)
        return str(self.graph.op("Transpose", made, perm=[1, 2, 0]))

    def _played(self, x: str, common: str) -> str:
        """The head of partials, one part after the other: so the amplitudes, which are many, stay in the cache."""
        graph, config = self.graph, self.config
        cosine, sine = self._clock(common)
        body = Graph("part_")
        made = self._part(body, "part_x", cosine, sine)
        parts = graph.reshape(x, -1, config.frames_per_part, config.level_widths[-1])
        loop = graph.op("Scan", parts, body=body.body(["part_x"], [made]), num_scan_inputs=1)
        # (n, C, F, frames) -> (C, F, T)
        ordered = graph.op("Transpose", loop, perm=[1, 2, 0, 3])
        return graph.reshape(ordered, self.audio.channels, self.audio.num_bins, -1)

    def _clock(self, common: str) -> tuple[str, str]:
        """cos and sin (groups, R x bins, frames of a part) of the partials, with phases: whole periods fit in a part."""
        graph, config, audio = self.graph, self.config, self.audio
        per_bin, frames = config.partials_per_bin, config.frames_per_part
        period = tables.clock_period(audio.num_bins, per_bin).reshape(2, 4 * per_bin, -1)
        cosine, sine = (self._padded(np.tile(turn, (frames // len(turn), 1)).T, 0) for turn in period)
        shape = self._groups, -1, frames
        if not config.phase_dim:
            return graph.constant(cosine.reshape(shape)), graph.constant(sine.reshape(shape))
        turns = self._padded(tables.phase_turns(audio.num_bins, per_bin, config.phase_dim), 1)
        phases = graph.slice(common, config.global_dim, config.global_dim + config.phase_dim, axis=1)
        angles = graph.op("MatMul", phases, graph.constant(turns))
        angles = graph.op("Transpose", angles, perm=[1, 0])
        begin, across = graph.op("Cos", angles), graph.op("Sin", angles)
        a, b = graph.constant(cosine), graph.constant(sine)
        real = graph.op("Sub", graph.op("Mul", a, begin), graph.op("Mul", b, across))
        imaginary = graph.op("Add", graph.op("Mul", b, begin), graph.op("Mul", a, across))
        return graph.reshape(real, *shape), graph.reshape(imaginary, *shape)

    def _part(self, body: Graph, x: str, cosine: str, sine: str) -> str:
        """A part's frames (t, W) -> coefficients (C, F, t). Partials are rows, in groups of bins as in `playing.py`."""
        config, audio = self.config, self.audio
        size, groups = tables.GROUP_BINS * config.partials_per_bin, self._groups
        weight, bias = (self._grouped(self.weights[f"to_bins.{name}"]) for name in ("weight", "bias"))
        given = body.op("MatMul", body.constant(weight), body.op("Transpose", x, perm=[1, 0]))
        given = body.op("Add", given, body.constant(bias[:, None]))
        given = body.reshape(given, audio.channels, groups, 2, size, config.frames_per_part)
        u, v = (body.op("Squeeze", half, body.constant([2])) for half in body.op("Split", given, axis=2, outputs=2))
        a_squared = EXPANDED_TO**2
        power = body.op("Add", body.op("Mul", u, u), body.op("Mul", v, v))
        gain = body.op("Div", body.constant(EXPANSION_FLOOR - a_squared), body.op("Add", power, body.constant(a_squared)))
        gain = body.op("Add", gain, body.constant(1.0))
        u, v = body.op("Mul", u, gain), body.op("Mul", v, gain)
        real = body.op("Sub", body.op("Mul", u, cosine), body.op("Mul", v, sine))
        imaginary = body.op("Add", body.op("Mul", u, sine), body.op("Mul", v, cosine))
        spread = tables.spread(audio.num_bins, config.partials_per_bin, audio.window, tables.GROUP_BINS)
        heard = np.concatenate([*spread * (EXPANDED_GAIN * a_squared)], 1).transpose(0, 2, 1)  # (groups, bins, 2 partials)
        made = body.op("MatMul", body.constant(heard), body.op("Concat", real, imaginary, axis=2))
        # What groups give to the bins around them overlaps by half: (C, groups + 1, bins of a group, t).
        lower, upper = body.op("Split", made, axis=2, outputs=2)
        lower = body.op("Pad", lower, body.constant([0, 0, 0, 0, 0, 1, 0, 0]))
        upper = body.op("Pad", upper, body.constant([0, 1, 0, 0, 0, 0, 0, 0]))
        both = body.reshape(body.op("Add", lower, upper), audio.channels, -1, config.frames_per_part)
        return body.slice(both, tables.REACH_BINS, tables.REACH_BINS + audio.num_bins, axis=1)

    @property
    def _groups(self) -> int:
        return -(-self.audio.num_bins // tables.GROUP_BINS)

    def _grouped(self, outputs: np.ndarray) -> np.ndarray:
        """What belongs to the layer's outputs (2 C F R, ...), by groups of bins: (C, groups, 2, R x bins), in a row."""
        rest, per_bin = outputs.shape[1:], self.config.partials_per_bin
        split = self._padded(outputs.reshape(self.audio.channels, 2, -1, *rest), 2)
        split = split.reshape(self.audio.channels, 2, self._groups, tables.GROUP_BINS * per_bin, *rest)
        return np.moveaxis(split, 1, 2).reshape(-1, *rest)

    def _padded(self, partials: np.ndarray, axis: int) -> np.ndarray:
        """Zeros for the bins that the last group lacks."""
        beyond = (self._groups * tables.GROUP_BINS - self.audio.num_bins) * self.config.partials_per_bin
        return np.pad(partials, [(0, beyond if number == axis else 0) for number in range(partials.ndim)])

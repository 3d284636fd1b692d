// A song in the browser: the random numbers of a seed, the model, and a WAV file. No server is asked for anything.
"use strict";

// The Mersenne Twister, seeded with one number, as numpy's RandomState and PyTorch have it.
class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = (Math.imul(before, 1812433253) + i) >>> 0;
    }
    this.place = 624;
  }

  next() {
    if (this.place === 624) this.renew();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  renew() {
    const s = this.state;
    for (let i = 0; i < 624; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
      s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }
}

// Normal numbers of a seed, the same as `mp3net generate` draws (mp3net/generation/latents.py); at least 16 of them.
function normal(seed, count) {
  const twister = new Twister(seed), drawn = new Float32Array(count);
  const uniform = () => (twister.next() & 0xffffff) * 2 ** -24;
  const group = (start) => {
    const u = Array.from({ length: 16 }, uniform);
    for (let i = 0; i < 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - u[i])), angle = 2 * Math.PI * u[i + 8];
      drawn[start + i] = radius * Math.cos(angle);
      drawn[start + i + 8] = radius * Math.sin(angle);
    }
  };
  const whole = count - (count % 16);
  for (let start = 0; start < whole; start += 16) group(start);
  if (whole < count) {
    for (let i = whole; i < count; i++) twister.next(); // the incomplete group's own numbers, which are not used
    group(count - 16);
  }
  return drawn;
}

// How many numbers a song of so many samples is made from.
function numbersFor(samples) {
  if (!FACTS.any_length) return FACTS.usual_numbers;
  const frames = Math.ceil(samples / FACTS.samples_per_frame) + 1;
  return FACTS.common_numbers + Math.ceil(frames / FACTS.frames_per_part) * FACTS.numbers_per_part;
}

function bytes(base64) {
  const text = atob(base64), array = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
  return array;
}

async function load() {
  ort.env.wasm.numThreads = 1; // more need a server that isolates the page
  ort.env.wasm.wasmBinary = bytes(RUNTIME.wasm).buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([RUNTIME.mjs], { type: "text/javascript" })) };
  return ort.InferenceSession.create(bytes(MODEL), { executionProviders: ["wasm"] });
}

// A song: {samples: one Float32Array per channel, as loud as made, took: seconds}. Cut to its length and faded at its end.
async function song(session, seed, seconds) {
  const rate = FACTS.sample_rate_hz;
  const wanted = FACTS.any_length ? Math.round(seconds * rate) : Infinity;
  const started = performance.now();
  const z = normal(seed, numbersFor(wanted));
  const { audio } = await session.run({ z: new ort.Tensor("float32", z, [1, z.length]) });
  const [channels, made] = audio.dims, length = Math.min(wanted, made), samples = [];
  const fade = Math.round(0.01 * rate);
  for (let c = 0; c < channels; c++) {
    const channel = audio.data.slice(c * made, c * made + length);
    if (length < made) {
      for (let i = 0; i < fade; i++) channel[length - 1 - i] *= Math.sin((Math.PI / 2) * (i / fade)) ** 2;
    }
    samples.push(channel);
  }
  return { samples, took: (performance.now() - started) / 1000 };
}

function wav(samples, rate) {
  const channels = samples.length, length = samples[0].length;
  let peak = 1;
  for (const channel of samples) for (const value of channel) peak = Math.max(peak, Math.abs(value));
  const view = new DataView(new ArrayBuffer(44 + 2 * channels * length));
  const text = (place, letters) => [...letters].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * channels * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, channels, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * channels * rate, true); view.setUint16(32, 2 * channels, true);
  view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * channels * length, true);
  for (let i = 0, place = 44; i < length; i++) {
    for (let c = 0; c < channels; c++, place += 2) view.setInt16(place, Math.round((samples[c][i] / peak) * 32767), true);
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

function draw(canvas, channel) {
  const context = canvas.getContext("2d"), { width, height } = canvas, each = channel.length / width;
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(document.body).color;
  let peak = 1e-9;
  for (const value of channel) peak = Math.max(peak, Math.abs(value));
  for (let x = 0; x < width; x++) {
    let high = 0;
    for (let i = Math.floor(x * each); i < (x + 1) * each; i++) high = Math.max(high, Math.abs(channel[i]) / peak);
    context.fillRect(x, (height * (1 - high)) / 2, 1, Math.max(1, height * high));
  }
}

const element = (id) => document.getElementById(id);

async function begin() {
  const session = await load();
  window.makeSong = (seed, seconds) => song(session, seed, seconds);
  element("length").hidden = !FACTS.any_length;
  element("make").disabled = false;
  element("status").textContent = "Ready.";
  element("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const seed = Number(element("seed").value), seconds = Number(element("seconds").value);
    element("make").disabled = true;
    element("status").textContent = "Making the song ...";
    try {
      await new Promise((ready) => setTimeout(ready, 20)); // let the page show it
      const made = await window.makeSong(seed, seconds);
      const file = URL.createObjectURL(wav(made.samples, FACTS.sample_rate_hz));
      const length = made.samples[0].length / FACTS.sample_rate_hz;
      draw(element("wave"), made.samples[0]);
      element("player").src = file;
      Object.assign(element("download"), { href: file, download: `seed-${seed}.wav`, hidden: false });
      element("status").textContent = `Seed ${seed}: ${length.toFixed(1)} s of music, made in ${made.took.toFixed(1)} s.`;
      element("player").play().catch(() => {}); // where the browser wants another click first
    } catch (error) {
      element("status").textContent = `The song could not be made: ${error.message ?? error}`;
    } finally {
      element("make").disabled = false;
    }
  });
}

begin().catch((error) => {
  element("status").textContent = `The model could not be loaded: ${error.message ?? error}`;
});

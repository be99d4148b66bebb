// Trained networks: unpacked, and applied to images of any size.
//
// Maps are flat arrays, { channels, height, width, values }, row by row, channel by
// channel; an image has one channel, and values from 0 to 1.

/** Networks and digits, from the text that report/weights.py has packed. */
export async function unpacked({ networks, content }) {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);
  const all = networks.flatMap(({ shapes }) => shapes.map(sizeOf)).reduce((a, b) => a + b, 0);
  const whole = new Int8Array(buffer, 0, all);
  const digits = range(10, (n) =>
    Float64Array.from(new Uint8Array(buffer, all + n * 784, 784), (value) => value / 255),
  );
  const real = new Float32Array(buffer.slice(all + 7840));
  let [used, usedReal] = [0, 0];
  const made = networks.map(({ name, shapes }) => ({
    name,
    layers: shapes.map((shape) => {
      const [count, size] = [shape[0], sizeOf(shape)];
      const steps = real.subarray(usedReal, usedReal + count);
      const bias = real.subarray(usedReal + count, (usedReal += 2 * count));
      const weights = Float64Array.from(
        whole.subarray(used, (used += size)),
        (value, n) => value * steps[Math.floor((n * count) / size)],
      );
      return { shape, weights, bias };
    }),
  }));
  return { networks: made, digits };
}

/** A 3 × 3 convolution with padding 1, and ReLU. */
export function convolveAndRectify({ channels, height, width, values }, { shape, weights, bias }) {
  const row = width + 2; // of the image with zeros around it
  const size = (height + 2) * row;
  const padded = new Float64Array(channels * size);
  for (let c = 0; c < channels; c += 1)
    for (let i = 0; i < height; i += 1)
      padded.set(
        values.subarray((c * height + i) * width, (c * height + i + 1) * width),
        c * size + (i + 1) * row + 1,
      );
  const output = new Float64Array(shape[0] * height * width);
  for (let d = 0; d < shape[0]; d += 1) {
    const sums = output.subarray(d * height * width, (d + 1) * height * width).fill(bias[d]);
    for (let c = 0; c < channels; c += 1) {
      const [a, b, e, f, g, h, k, l, m] = weights.subarray((d * channels + c) * 9);
      for (let i = 0; i < height; i += 1) {
        // Nine products a pixel; what the window meets again as it moves on is kept.
        let at = c * size + i * row;
        let [p0, p1] = [padded[at], padded[at + 1]];
        let [q0, q1] = [padded[at + row], padded[at + row + 1]];
        let [r0, r1] = [padded[at + 2 * row], padded[at + 2 * row + 1]];
        for (let j = i * width; j < (i + 1) * width; j += 1, at += 1) {
          const p2 = padded[at + 2];
          const q2 = padded[at + row + 2];
          const r2 = padded[at + 2 * row + 2];
          sums[j] += a * p0 + b * p1 + e * p2 + f * q0 + g * q1 + h * q2 + k * r0 + l * r1 + m * r2;
          p0 = p1;
          p1 = p2;
          q0 = q1;
          q1 = q2;
          r0 = r1;
          r1 = r2;
        }
      }
    }
    for (let n = 0; n < sums.length; n += 1) if (sums[n] < 0) sums[n] = 0;
  }
  return { channels: shape[0], height, width, values: output };
}

/** The largest of each 2 × 2 pixels; an odd last row or column falls away. */
export function halved({ channels, height, width, values }) {
  const [rows, columns] = [height >> 1, width >> 1];
  const output = new Float64Array(channels * rows * columns);
  for (let c = 0, n = 0; c < channels; c += 1)
    for (let i = 0; i < rows; i += 1)
      for (let j = 0; j < columns; j += 1, n += 1) {
        const at = (c * height + 2 * i) * width + 2 * j;
        output[n] = Math.max(values[at], values[at + 1], values[at + width], values[at + width + 1]);
      }
  return { channels, height: rows, width: columns, values: output };
}

/** One number for each channel: its maximum or its mean. */
function pooled({ channels, height, width, values }, mean) {
  const area = height * width;
  return Float64Array.from({ length: channels }, (_, c) => {
    const map = values.subarray(c * area, (c + 1) * area);
    return mean ? map.reduce((a, b) => a + b, 0) / area : map.reduce((a, b) => Math.max(a, b));
  });
}

/** What a network makes of an image: maps after each pooling, features, scores. */
export function read({ name, layers }, image) {
  const maps = [];
  let map = image;
  for (const layer of layers.slice(0, -1)) maps.push((map = halved(convolveAndRectify(map, layer))));
  const { shape, weights, bias } = layers.at(-1);
  const features = takesOneSize(name) ? map.values : pooled(map, name.endsWith("mean"));
  const scores = Array.from(bias, (sum, digit) =>
    features.reduce((a, value, n) => a + value * weights[digit * shape[1] + n], sum),
  );
  return { maps, features, scores };
}

export const takesOneSize = (name) => name.startsWith("fixed");

/** Shares that add up to one. */
export function softmax(scores) {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** For each pixel of `size` new ones: the first old one that it sees, and their shares. */
function triangles(old, size) {
  const scale = old / size;
  const reach = Math.max(1, scale); // shrinking takes means: no pixel is passed over
  return range(size, (i) => {
    const middle = scale * (i + 0.5);
    const first = Math.max(0, Math.floor(middle - reach + 0.5));
    const last = Math.min(old, Math.floor(middle + reach + 0.5));
    const shares = range(last - first, (j) => Math.max(0, 1 - Math.abs(first + j + 0.5 - middle) / reach));
    const sum = shares.reduce((a, b) => a + b, 0);
    return { first, shares: shares.map((share) => share / sum) };
  });
}

/** A square image scaled to `size` pixels: bilinear, with anti-aliasing. */
export function resized(values, size) {
  const old = Math.sqrt(values.length);
  if (old === size) return values;
  const seen = triangles(old, size);
  const weighed = (at, { first, shares }) =>
    shares.reduce((sum, share, n) => sum + share * at(first + n), 0);
  const wide = new Float64Array(old * size);
  for (let i = 0; i < old; i += 1)
    for (let j = 0; j < size; j += 1)
      wide[i * size + j] = weighed((n) => values[i * old + n], seen[j]);
  const output = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1)
    for (let j = 0; j < size; j += 1)
      output[i * size + j] = weighed((n) => wide[n * size + j], seen[i]);
  return output;
}

/** A square image in the middle of a black canvas, moved by [down, right]. */
export function placed(values, canvas, [down, right]) {
  const size = Math.sqrt(values.length);
  const begin = Math.floor((canvas - size) / 2);
  const output = new Float64Array(canvas * canvas);
  for (let i = 0; i < size; i += 1)
    for (let j = 0; j < size; j += 1) {
      const [row, column] = [begin + i + down, begin + j + right];
      if (row >= 0 && row < canvas && column >= 0 && column < canvas)
        output[row * canvas + column] = values[i * size + j];
    }
  return output;
}

/** A square image as a map of one channel. */
export function asMap(values) {
  const side = Math.sqrt(values.length);
  return { channels: 1, height: side, width: side, values };
}

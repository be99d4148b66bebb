// A convolution, its unfolded matrix and its gradients, in plain numbers.
//
// A tensor is nested arrays: an image [channel][row][column], kernels
// [output channel][channel][row][column]. `how` is { stride, padding, dilation }.

/** Positions of a window along one axis; below 1 when it does not fit. */
export function outputSize(size, kernelSize, { stride, padding, dilation }) {
  return Math.floor((size + 2 * padding - dilation * (kernelSize - 1) - 1) / stride) + 1;
}

/** An array of `length` values of `fill(index)`. */
export function range(length, fill) {
  return Array.from({ length }, (_, index) => fill(index));
}

/** Zeros of the shape [channels][rows][columns]. */
export function zeros(channels, rows, columns) {
  return range(channels, () => range(rows, () => new Array(columns).fill(0)));
}

/**
 * Call `visit(c, p, q, row, column)` for each entry of the kernel at the output pixel
 * (i, j): entry (c, p, q) meets the pixel (row, column) of the image, which lies outside
 * of it where the window hangs over into the padding.
 */
export function visitWindow(i, j, [channels, rows, columns], how, visit) {
  for (let c = 0; c < channels; c += 1)
    for (let p = 0; p < rows; p += 1)
      for (let q = 0; q < columns; q += 1)
        visit(
          c,
          p,
          q,
          i * how.stride + p * how.dilation - how.padding,
          j * how.stride + q * how.dilation - how.padding,
        );
}

const shapeOf = (kernel) => [kernel.length, kernel[0].length, kernel[0][0].length];
const pixel = (image, c, row, column) => image[c][row]?.[column] ?? 0;

/** [output channels, rows, columns] of the output. */
export function outputShape(image, kernels, how) {
  const [, rows, columns] = shapeOf(kernels[0]);
  return [
    kernels.length,
    outputSize(image[0].length, rows, how),
    outputSize(image[0][0].length, columns, how),
  ];
}

/** One column per window, row by row of the output: [c * p * q][i * j]. */
export function unfold(image, kernels, how) {
  const [, rows, columns] = outputShape(image, kernels, how);
  const shape = shapeOf(kernels[0]);
  const matrix = range(shape[0] * shape[1] * shape[2], () => new Array(rows * columns).fill(0));
  for (let i = 0; i < rows; i += 1)
    for (let j = 0; j < columns; j += 1) {
      let entry = 0;
      visitWindow(i, j, shape, how, (c, p, q, row, column) => {
        matrix[entry][i * columns + j] = pixel(image, c, row, column);
        entry += 1;
      });
    }
  return matrix;
}

/** The output [output channel][row][column], without a bias. */
export function convolve(image, kernels, how) {
  const output = zeros(...outputShape(image, kernels, how));
  kernels.forEach((kernel, d) =>
    output[d].forEach((line, i) =>
      line.forEach((_, j) => {
        let sum = 0;
        visitWindow(i, j, shapeOf(kernel), how, (c, p, q, row, column) => {
          sum += kernel[c][p][q] * pixel(image, c, row, column);
        });
        line[j] = sum;
      }),
    ),
  );
  return output;
}

/**
 * Both gradients of a number that has the gradient `outputGradient` at the output: each
 * output pixel hands its gradient back along the products it was made of. What overlaps
 * in the image is added up, as fold does.
 */
export function backward(image, kernels, how, outputGradient) {
  const imageGradient = zeros(image.length, image[0].length, image[0][0].length);
  const kernelGradients = kernels.map((kernel) => zeros(...shapeOf(kernel)));
  kernels.forEach((kernel, d) =>
    outputGradient[d].forEach((line, i) =>
      line.forEach((gradient, j) => {
        if (gradient === 0) return;
        visitWindow(i, j, shapeOf(kernel), how, (c, p, q, row, column) => {
          kernelGradients[d][c][p][q] += gradient * pixel(image, c, row, column);
          if (imageGradient[c][row]?.[column] !== undefined)
            imageGradient[c][row][column] += gradient * kernel[c][p][q];
        });
      }),
    ),
  );
  return { imageGradient, kernelGradients };
}

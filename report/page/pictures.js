// The images and kernels that a reader can choose; a test compares them with their sources.

const rows = (text) => text.trim().split("\n").map((line) => line.trim().split(/ +/).map(Number));

export const PICTURES = {
  "Corner, 6 × 6": rows(`
    0 0 0 0 0 0
    0 0 0 0 0 0
    0 0 9 9 9 9
    0 0 9 9 9 9
    0 0 9 9 9 9
    0 0 9 9 9 9`),
  "Ramp, 6 × 6": rows(`
    0 1 2 3 4 5
    1 2 3 4 5 6
    2 3 4 5 6 7
    3 4 5 6 7 8
    4 5 6 7 8 9
    5 6 7 8 9 9`),
  "One pixel, 7 × 7": rows(`
    0 0 0 0 0 0 0
    0 0 0 0 0 0 0
    0 0 0 0 0 0 0
    0 0 0 9 0 0 0
    0 0 0 0 0 0 0
    0 0 0 0 0 0 0
    0 0 0 0 0 0 0`),
  // The first training image of MNIST: means of 2 × 2 pixels, the largest of them 9.
  "Digit of MNIST, 14 × 14": rows(`
    0 0 0 0 0 0 0 0 0 0 0 0 0 0
    0 0 0 0 0 0 0 0 0 0 0 0 0 0
    0 0 0 0 0 0 0 0 2 2 4 3 0 0
    0 0 0 0 5 7 8 9 9 5 6 3 0 0
    0 0 0 0 6 8 9 3 6 0 0 0 0 0
    0 0 0 0 0 3 7 0 0 0 0 0 0 0
    0 0 0 0 0 0 6 4 1 0 0 0 0 0
    0 0 0 0 0 0 1 6 8 2 0 0 0 0
    0 0 0 0 0 0 0 0 5 8 1 0 0 0
    0 0 0 0 0 0 2 6 8 8 0 0 0 0
    0 0 0 0 1 5 9 9 5 1 0 0 0 0
    0 0 2 6 9 9 5 1 0 0 0 0 0 0
    0 0 3 4 3 1 0 0 0 0 0 0 0 0
    0 0 0 0 0 0 0 0 0 0 0 0 0 0`),
};

export const KERNELS = {
  "Sobel, vertical edges": rows(`
    -1 0 1
    -2 0 2
    -1 0 1`),
  "Sobel, horizontal edges": rows(`
    -1 -2 -1
    0 0 0
    1 2 1`),
  "Blur, weights of a binomial": rows(`
    0.0625 0.125 0.0625
    0.125 0.25 0.125
    0.0625 0.125 0.0625`),
  "Copy": rows(`
    0 0 0
    0 1 0
    0 0 0`),
  // Channel 14 of the first layer of mnist/best, seed 0, to two decimals.
  "Learned from MNIST": rows(`
    -0.56 -0.38 -0.11
    -0.72 0.07 0.16
    -0.3 -0.03 0.34`),
};

// Colours of the flame graph: a hue per layer, eight shades of it by package, each also dimmed.
// Computed from OKLCH so that all layers look equally bright and labels stay readable.

import { hashText, scopeOf } from '../names.ts';

const SHADES = 8;
const LAYER_COUNT = 5;

/** Hue range in degrees and chroma by layer: app, library, runtime, native, kernel. */
const HUES: readonly (readonly [number, number, number])[] = [
  [38, 62, 0.125],
  [88, 98, 0.105],
  [285, 300, 0.09],
  [190, 205, 0.085],
  [245, 255, 0.055],
];

type Rgb = readonly [number, number, number];

const SHADE_COUNT = SHADES * LAYER_COUNT;

/** Where in `Palette.fills` a colour stands; the first three are followed by all other shades. */
export const FILL = {
  full: 0,
  dim: SHADE_COUNT,
  /** Runs of frames too narrow to tell apart. */
  sliver: 2 * SHADE_COUNT,
  /** The root, which is no function. */
  root: 3 * SHADE_COUNT,
  rootDim: 3 * SHADE_COUNT + 1,
  /** Runs with and without a match inside. */
  sliverHit: 3 * SHADE_COUNT + 2,
  sliverMiss: 3 * SHADE_COUNT + 3,
} as const;

export interface Palette {
  background: string;
  /** Colours of rectangles; `FILL` plus a shade says which. */
  fills: readonly string[];
  label: string;
  dimLabel: string;
  hoverOutline: string;
  selectOutline: string;
}

/** The shade index of a name. */
export function shadeOf(name: string, layer: number): number {
  return Math.min(layer, LAYER_COUNT - 1) * SHADES + (hashText(scopeOf(name)) % SHADES);
}

export function makePalette(theme: 'dark' | 'light'): Palette {
  const dark = theme === 'dark';
  const ground: Rgb = dark ? [16, 19, 26] : [255, 255, 255];
  const shades = layerShades(dark);
  const blend = (amount: number): string[] => shades.map((color) => css(mix(color, ground, amount)));
  return {
    background: css(ground),
    fills: [
      ...shades.map(css),
      ...blend(dark ? 0.78 : 0.72),
      ...blend(dark ? 0.66 : 0.6),
      ...(dark ? ['#8f98a9', '#262c38', '#ff8a3d', '#252b38'] : ['#c9ced8', '#eceef2', '#d9590a', '#e4e7ee']),
    ],
    label: '#15171d',
    dimLabel: dark ? '#858da0' : '#8a90a0',
    hoverOutline: dark ? '#ffffff' : '#000000',
    selectOutline: dark ? '#ffd166' : '#8a3b00',
  };
}

function layerShades(dark: boolean): Rgb[] {
  const shades: Rgb[] = [];
  for (const [from, to, chroma] of HUES) {
    for (let shade = 0; shade < SHADES; shade++) {
      const hue = from + ((to - from) * shade) / (SHADES - 1);
      // Stepping by five spreads lightness over neighbouring hues.
      const lightness = (dark ? 0.7 : 0.8) + (((shade * 5) % SHADES) / (SHADES - 1)) * 0.1;
      shades.push(oklch(lightness, chroma, hue));
    }
  }
  return shades;
}

/** OKLCH to sRGB, 0 to 255 (B. Ottosson, "A perceptual color space for image processing"). */
function oklch(lightness: number, chroma: number, hue: number): Rgb {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function gamma(linear: number): number {
  const encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.max(0, Math.min(1, encoded)));
}

function mix(color: Rgb, ground: Rgb, amount: number): Rgb {
  const channel = (at: 0 | 1 | 2): number => Math.round(color[at] + (ground[at] - color[at]) * amount);
  return [channel(0), channel(1), channel(2)];
}

function css([red, green, blue]: Rgb): string {
  return `rgb(${red},${green},${blue})`;
}

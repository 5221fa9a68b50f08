// Layers: what kind of code a frame is. The server decides (FLM1 carries one per name); here are
// only their names, in the order of their numbers.

export const LAYERS = ['app', 'library', 'runtime', 'native', 'kernel'] as const;

/** One plain sentence per layer, for legends and tooltips. */
export const LAYER_MEANING: Record<(typeof LAYERS)[number], string> = {
  app: 'the program itself',
  library: 'shared libraries and packages',
  runtime: 'language runtime and standard library',
  native: 'C library, loader and vDSO',
  kernel: 'the kernel',
};

export function layerName(layer: number): string {
  return LAYERS[layer] ?? 'app';
}

/** The CSS custom property that holds a layer's colour. */
export function layerColor(layer: number): string {
  return `var(--layer-${layerName(layer)})`;
}

// A sparkline as SVG: cheap enough for hundreds of rows, sharp at any zoom.

const WIDTH = 132;
const HEIGHT = 26;

export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const line = sparkPath(values);
  return (
    <svg class="sparkline" width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {line !== '' && (
        <>
          <path class="area" d={`${line}V${HEIGHT}H0Z`} />
          <path class="line" d={line} />
        </>
      )}
    </svg>
  );
}

/** The last step is not over yet and would look like a drop, so it is left out. */
function sparkPath(values: readonly number[]): string {
  const shown = values.length > 2 ? values.slice(0, -1) : values;
  const max = Math.max(...shown, 0);
  if (max <= 0) return '';
  const step = WIDTH / Math.max(1, shown.length - 1);
  const points = shown.map((value, index) => {
    const y = HEIGHT - 2 - ((HEIGHT - 5) * value) / max;
    return `${(index * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join('L')}`;
}

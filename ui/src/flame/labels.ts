// Labels that fit: the longest form of a name that fits a frame, else a cut of the barest form.
// Widths come from a table of ASCII widths, since measuring thousands of labels per frame is slow.

import { shorten } from '../names.ts';

const ELLIPSIS_PX = 8;
const WIDE_PX = 8;

export class LabelFitter {
  private readonly widths = new Float32Array(127).fill(WIDE_PX);
  private readonly forms: (string[] | undefined)[] = [];

  /** Measures the font; call again when fonts arrive. */
  measure(context: CanvasRenderingContext2D, font: string): void {
    context.font = font;
    for (let code = 32; code < 127; code++) {
      this.widths[code] = context.measureText(String.fromCharCode(code)).width;
    }
  }

  /** Forgets the forms of the last model's names. */
  reset(): void {
    this.forms.length = 0;
  }

  fit(names: readonly string[], id: number, width: number): string {
    const forms = (this.forms[id] ??= shorten(names[id] ?? ''));
    for (const form of forms) {
      if (this.charsThatFit(form, width) === form.length) return form;
    }
    const barest = forms[forms.length - 1] ?? '';
    const length = this.charsThatFit(barest, width - ELLIPSIS_PX);
    return length > 1 ? `${barest.slice(0, length)}…` : '';
  }

  private charsThatFit(text: string, width: number): number {
    let used = 0;
    for (let at = 0; at < text.length; at++) {
      used += this.widths[text.charCodeAt(at)] ?? WIDE_PX;
      if (used > width) return at;
    }
    return text.length;
  }
}

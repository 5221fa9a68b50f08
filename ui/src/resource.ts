// A resource: something loaded from the server, with what is known while it loads or fails.

import { batch, signal, type ReadonlySignal } from '@preact/signals';
import { ApiError, type Failure } from './api.ts';

export class Resource<T> {
  private readonly dataSignal = signal<T | null>(null);
  private readonly failureSignal = signal<Failure | null>(null);
  private readonly loadingSignal = signal(false);
  private readonly staleSignal = signal(false);
  private running: AbortController | undefined;
  private readonly refreshSignal = signal(false);
  private key = '';
  private answeredKey: string | undefined;

  readonly data: ReadonlySignal<T | null> = this.dataSignal;
  readonly failure: ReadonlySignal<Failure | null> = this.failureSignal;
  readonly loading: ReadonlySignal<boolean> = this.loadingSignal;
  /** True while the data shown answers another question than the one being loaded. */
  readonly stale: ReadonlySignal<boolean> = this.staleSignal;
  /** True if the data is a newer answer to the same question. */
  readonly isRefresh: ReadonlySignal<boolean> = this.refreshSignal;

  /**
   * Loads, giving up what is still under way. The data of the last answer stays meanwhile; `key`
   * says which question it answers, so that a mere refresh does not look like a change.
   */
  load(key: string, fetcher: (signal: AbortSignal) => Promise<T>): void {
    this.running?.abort();
    const controller = (this.running = new AbortController());
    batch(() => {
      this.loadingSignal.value = true;
      if (key !== this.key) this.staleSignal.value = this.dataSignal.peek() !== null;
    });
    this.key = key;
    fetcher(controller.signal).then(
      (data) => this.settle(controller, data, null),
      (error: unknown) => {
        if (!controller.signal.aborted) this.settle(controller, null, failureOf(error));
      },
    );
  }

  private settle(controller: AbortController, data: T | null, failure: Failure | null): void {
    if (controller !== this.running) return;
    batch(() => {
      // A server that went away is no reason to blank a page someone reads.
      if (data !== null || failure?.kind !== 'unreachable') this.dataSignal.value = data;
      this.failureSignal.value = failure;
      if (data !== null) {
        this.refreshSignal.value = this.key === this.answeredKey;
        this.answeredKey = this.key;
      }
      this.loadingSignal.value = false;
      this.staleSignal.value = false;
    });
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) return error.failure;
  return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
}

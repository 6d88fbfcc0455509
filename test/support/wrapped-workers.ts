import type { WorkerReply, WorkerRequest } from '#shared/wire/worker-message.ts';

/**
 * Scripts that run in a page before its own, and put something between the page and its compute thread. Each is sent to the
 * browser as text: nothing outside of it is there.
 */

declare global {
  interface Window {
    /** Microseconds that the page's compute threads ran for each session. */
    chorusTestRunUs?: Record<string, number>;
  }
}

/** The time of each run is added up. */
export function keepRunTimes(): void {
  const runUs: Record<string, number> = {};
  window.chorusTestRunUs = runUs;
  window.Worker = class extends Worker {
    readonly #sessions = new Map<number, string>();

    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener('message', ({ data }: MessageEvent<WorkerReply>) => {
        if (data.type !== 'reply' || data.body === null || !('timings' in data.body)) return;
        const session = this.#sessions.get(data.id) ?? '';
        runUs[session] = (runUs[session] ?? 0) + data.body.timings.runUs;
        this.#sessions.delete(data.id);
      });
    }

    override postMessage(message: WorkerRequest, options?: StructuredSerializeOptions | Transferable[]): void {
      if (message.call === 'run') this.#sessions.set(message.id, message.body.session);
      super.postMessage(message, options as Transferable[]);
    }
  };
}

/**
 * The thread's results are changed: hidden rows turn their sign, and of the logits the second takes the first's place. In the
 * first session, by which the server tries a volunteer, it is honest.
 */
export function lieInRuns(): void {
  window.Worker = class extends Worker {
    readonly #runs = new Set<number>();
    #first: string | null = null;

    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      // Added before the page's own listener, so called before it, with the same object.
      this.addEventListener('message', ({ data }: MessageEvent<WorkerReply>) => {
        if (data.type !== 'reply' || data.body === null) return;
        if (!this.#runs.delete(data.id) || !('output' in data.body)) return;
        Object.assign(data.body.timings, { decodeUs: 0, runUs: 0, encodeUs: 0 });
        const { kind, count, bytes } = data.body.output;
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        if (kind === 'hidden') {
          for (let at = 1; at < bytes.length; at += 2) view.setUint8(at, view.getUint8(at) ^ 0x80);
          return;
        }
        for (let row = 0; row < count; row++) {
          const firstId = row * (bytes.length / count) + 4;
          const first = view.getUint32(firstId, true);
          view.setUint32(firstId, view.getUint32(firstId + 8, true), true);
          view.setUint32(firstId + 8, first, true);
        }
      });
    }

    override postMessage(message: WorkerRequest, options?: StructuredSerializeOptions | Transferable[]): void {
      if (message.call === 'run') {
        this.#first ??= message.body.session;
        if (message.body.session !== this.#first) this.#runs.add(message.id);
      }
      super.postMessage(message, options as Transferable[]);
    }
  };
}

/** The thread uses the device's subgroups, which SwiftShader computes wrongly. */
export function keepSubgroups(): void {
  window.Worker = class extends Worker {
    override postMessage(message: WorkerRequest, options?: StructuredSerializeOptions | Transferable[]): void {
      const changed =
        message.call === 'start' ? { ...message, body: { ...message.body, keepSubgroups: true } } : message;
      super.postMessage(changed, options as Transferable[]);
    }
  };
}

/** As `keepSubgroups`, and the stage is served without a probe. */
export function keepSubgroupsUnprobed(): void {
  window.Worker = class extends Worker {
    override postMessage(message: WorkerRequest, options?: StructuredSerializeOptions | Transferable[]): void {
      let changed = message;
      if (message.call === 'start') changed = { ...message, body: { ...message.body, keepSubgroups: true } };
      if (message.call === 'load') changed = { ...message, body: { ...message.body, probe: false } };
      super.postMessage(changed, options as Transferable[]);
    }
  };
}

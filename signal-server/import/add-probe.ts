import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { stageParts } from '#shared/model/cut.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { describeRange, type StageRange } from '#shared/model/stage.ts';
import type { ReferenceRequest } from '#shared/wire/worker-message.ts';
import type { BlobWriter } from './blob-writer.ts';
import { encodeChannelScale, measureChannelScale } from './probe/channel-scale.ts';
import { startReference, type Reference } from './probe/reference-thread.ts';
import { windowModel, type ReadBlob } from './probe/vocabulary-window.ts';

/** The worker probes runs of up to 39 positions; rows are the same however they are chunked. */
const PROBE_POSITIONS = 40;
const WINDOW_BYTES = 64 * 2 ** 20;
const MODULUS = 2 ** 31 - 1;

export interface ProbeOptions {
  readonly dataFolder: string;
  readonly onProgress: (done: number, total: number) => void;
  /** Bytes, as f32, of the rows of a table that are computed with together. A table that is smaller twice over is taken whole. */
  readonly windowBytes?: number;
  /** The thread that computes them; one is started and ended for it where none is given. */
  readonly reference?: Reference | undefined;
}

/**
 * Computes the probe's values, stage by stage, on the WASM backend. Throws `bad-model` if the runtime refuses the
 * model, or if it computes other shapes than it should, or values that are no numbers.
 */
export async function addProbe(draft: Manifest, writer: BlobWriter, options: ProbeOptions): Promise<Manifest> {
  const { layers, hiddenSize, vocabularySize, maxPositions, endTokens } = draft.config;
  const tokens = probeTokens(Math.min(PROBE_POSITIONS, maxPositions), vocabularySize, endTokens);
  const reference = options.reference ?? startReference();
  try {
    const stages = new ProbeStages(draft, options, reference);
    const outputs: BlobRef[] = [];
    const boundaries: Float32Array[] = [];
    const ranges = probeStages(layers);
    let input: Uint32Array | Float32Array = Uint32Array.from(tokens);
    for (const [done, range] of ranges.entries()) {
      options.onProgress(done, ranges.length);
      const values = await stages.compute(range, input, tokens.length);
      checkValues(values, tokens.length * (range.head ? vocabularySize : hiddenSize), range);
      outputs.push(await writer.write(new Uint8Array(values.buffer)));
      if (!range.head) boundaries.push(values);
      input = values;
    }
    const logits = outputs.pop()!;
    const channelScale = encodeChannelScale(measureChannelScale(boundaries, hiddenSize));
    return {
      ...draft,
      pins: { ...draft.pins, runtimeVersion: stages.runtimeVersion },
      probe: { ...draft.probe, tokens, boundaries: outputs, logits, channelScale },
    };
  } finally {
    if (options.reference === undefined) await reference.stop();
  }
}

/** Values of one stage after the other; of large tables a window at a time, for f32 takes eight times the room of four bits. */
class ProbeStages {
  readonly #draft: Manifest;
  readonly #options: ProbeOptions;
  readonly #reference: Reference;
  runtimeVersion = '';

  constructor(draft: Manifest, options: ProbeOptions, reference: Reference) {
    this.#draft = draft;
    this.#options = options;
    this.#reference = reference;
  }

  async compute(
    range: StageRange,
    input: Uint32Array | Float32Array,
    positions: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { hiddenSize, vocabularySize } = this.#draft.config;
    const windowRows = Math.max(1, Math.floor((this.#options.windowBytes ?? WINDOW_BYTES) / (4 * hiddenSize)));
    const isLarge = vocabularySize > 2 * windowRows;
    const values =
      !isLarge || range.start !== range.end
        ? null
        : range.head
          ? await this.#head(range, input, positions, windowRows)
          : await this.#embedding(range, input as Uint32Array);
    return values ?? this.#whole(range, input, positions);
  }

  async #whole(
    range: StageRange,
    input: Uint32Array | Float32Array,
    positions: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const { blob } of stageParts(this.#draft, range))
      blobs.set(blob.digest, await this.#read(blob, 0, blob.bytes));
    return this.#ask({ manifest: this.#draft, range, graph: await this.#graph(), blobs, input, positions });
  }

  async #embedding(range: StageRange, tokens: Uint32Array): Promise<Float32Array<ArrayBuffer> | null> {
    const rows = [...new Set(tokens)];
    const runs = rows.map((from) => ({ from, count: 1 }));
    const windowed = await windowModel(this.#draft, await this.#graph(), range, runs, this.#read);
    const input = tokens.map((token) => rows.indexOf(token));
    return windowed && this.#ask({ ...windowed, range, input, positions: tokens.length });
  }

  async #head(
    range: StageRange,
    input: Uint32Array | Float32Array,
    positions: number,
    windowRows: number,
  ): Promise<Float32Array<ArrayBuffer> | null> {
    const { vocabularySize } = this.#draft.config;
    const logits = new Float32Array(positions * vocabularySize);
    for (let from = 0; from < vocabularySize; from += windowRows) {
      const count = Math.min(windowRows, vocabularySize - from);
      const windowed = await windowModel(this.#draft, await this.#graph(), range, [{ from, count }], this.#read);
      if (windowed === null) return null;
      const values = await this.#ask({ ...windowed, range, input, positions });
      checkValues(values, positions * count, range);
      for (let row = 0; row < positions; row++)
        logits.set(values.subarray(row * count, (row + 1) * count), row * vocabularySize + from);
    }
    return logits;
  }

  async #ask(request: ReferenceRequest): Promise<Float32Array<ArrayBuffer>> {
    const { values, runtimeVersion } = await this.#reference.compute(request);
    this.runtimeVersion = runtimeVersion;
    return values;
  }

  #graph(): Promise<Uint8Array<ArrayBuffer>> {
    const { graph } = this.#draft;
    return this.#read(graph, 0, graph.bytes);
  }

  readonly #read: ReadBlob = async (blob, offset, length) => {
    const file = await open(join(this.#options.dataFolder, 'blobs', blob.digest));
    try {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
        if (bytesRead === 0) throw new ChorusError('bad-model', 'a blob shrank while the model was imported');
        done += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  };
}

/** The stages whose outputs are the probe's boundaries, in order, and then the head. */
function probeStages(layers: number): StageRange[] {
  return [
    { start: 0, end: 0, embedding: true, head: false },
    ...Array.from({ length: layers }, (_, i) => ({ start: i, end: i + 1, embedding: false, head: false })),
    { start: layers, end: layers, embedding: false, head: true },
  ];
}

/** Token ids of all kinds in a fixed order (Park and Miller's generator), none of them an end token. */
function probeTokens(count: number, vocabularySize: number, endTokens: readonly number[]): number[] {
  const tokens: number[] = [];
  for (let state = 12345; tokens.length < count; state = (state * 16_807) % MODULUS) {
    const token = Math.floor((state / MODULUS) * vocabularySize);
    if (!endTokens.includes(token) || vocabularySize <= endTokens.length) tokens.push(token);
  }
  return tokens;
}

function checkValues(values: Float32Array, length: number, range: StageRange): void {
  const stage = describeRange(range);
  if (values.length !== length) {
    throw new ChorusError(
      'bad-model',
      `${stage}: ${values.length} values came out where config.json promises ${length}`,
    );
  }
  if (!values.every(Number.isFinite))
    throw new ChorusError('bad-model', `${stage}: values came out that are no numbers`);
}

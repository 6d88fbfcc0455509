import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { stageParts } from '#shared/model/cut.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { describeRange, type StageRange } from '#shared/model/stage.ts';
import type { BlobWriter } from './blob-writer.ts';
import { encodeChannelScale, measureChannelScale } from './channel-scale.ts';
import { startReference } from './reference-thread.ts';

/** The worker probes runs of up to 39 positions; rows are the same however they are chunked. */
const PROBE_POSITIONS = 40;
const MODULUS = 2 ** 31 - 1;

/**
 * Computes the probe's values, stage by stage, on the WASM backend. Throws `bad-model` if the runtime refuses the
 * model, or if it computes other shapes than it should, or values that are no numbers.
 */
export async function addProbe(
  draft: Manifest,
  dataFolder: string,
  writer: BlobWriter,
  onProgress: (done: number, total: number) => void,
): Promise<Manifest> {
  const { layers, hiddenSize, vocabularySize, maxPositions, endTokens } = draft.config;
  const tokens = probeTokens(Math.min(PROBE_POSITIONS, maxPositions), vocabularySize, endTokens);
  const readBlob = async (blob: BlobRef) => new Uint8Array(await readFile(join(dataFolder, 'blobs', blob.digest)));
  const reference = startReference();
  try {
    const graph = await readBlob(draft.graph);
    const outputs: BlobRef[] = [];
    const boundaries: Float32Array[] = [];
    const stages = probeStages(layers);
    let input: Uint32Array | Float32Array = Uint32Array.from(tokens);
    let runtimeVersion = '';
    for (const [done, range] of stages.entries()) {
      onProgress(done, stages.length);
      const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const { blob } of stageParts(draft, range)) blobs.set(blob.digest, await readBlob(blob));
      const reply = await reference.compute({ manifest: draft, range, graph, blobs, input, positions: tokens.length });
      checkValues(reply.values, tokens.length * (range.head ? vocabularySize : hiddenSize), range);
      outputs.push(await writer.write(new Uint8Array(reply.values.buffer)));
      if (!range.head) boundaries.push(reply.values);
      ({ runtimeVersion } = reply);
      input = reply.values;
    }
    const logits = outputs.pop()!;
    const channelScale = encodeChannelScale(measureChannelScale(boundaries, hiddenSize));
    return {
      ...draft,
      pins: { ...draft.pins, runtimeVersion },
      probe: { ...draft.probe, tokens, boundaries: outputs, logits, channelScale },
    };
  } finally {
    await reference.stop();
  }
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

import { digestOf } from '#shared/crypto/identity.ts';
import { utf8 } from '#shared/bytes.ts';
import { readAnatomy } from '#shared/model/anatomy.ts';
import { whyNotPlanned } from '#shared/model/engine/why-not-planned.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { tensorByteLength, tensorDims, tensorType } from '#shared/model/tensor-bytes.ts';
import { needOf } from '../placement/model-fit.ts';
import { planModel } from '../placement/planned-model.ts';
import type { SizedManifest } from '../placement/stage-memory.ts';
import { countParameters } from './count-parameters.ts';
import { DEFAULT_MAX_POSITIONS, type ImportOptions } from './import-model.ts';
import { openModel } from './open-model.ts';
import { normalizeGraph } from './normalize-graph.ts';
import { planParts } from './split-parts.ts';

const MB = 1_000_000;

/** What a model needs of volunteers, as text for a terminal. `isPlanned` says that the CPU engine knows its graph. */
export function formatNeed(manifest: SizedManifest, isPlanned: boolean): string {
  const model = planModel(digestOf(utf8(manifest.name)), manifest, 1, isPlanned);
  const { device, servable, checked, leastPledge, memoryBytes } = needOf(model);
  const disk = manifest.parts.reduce((sum, { blob }) => sum + blob.bytes, 0);
  const text = (bytes: number): string => `${Math.ceil(bytes / MB).toLocaleString('en')} MB`;
  const lent = text(device.pledgeBytes);
  const count = (number: number): string => `${number} that lend ${lent} each, as tabs do by themselves`;
  return [
    `needs ${text(memoryBytes)} of memory in all to answer, with keys and values, and ${text(disk)} of disk`,
    `least that a volunteer has to lend: ${text(leastPledge)}; with less no number of them is enough`,
    servable === null
      ? `no number of volunteers that lend ${lent}, as tabs do by themselves, can hold it`
      : `volunteers until it answers: ${count(servable)}`,
    ...(checked === null ? [] : [`volunteers until answers are checked: ${count(checked)}`]),
  ].join('\n');
}

/**
 * What a model would need once it was imported, as text, from its sizes alone: nothing is written, and weights are read only
 * where they have to be converted. Throws as `importModel` does for what is no model.
 */
export async function planImport(
  path: string,
  { quant, maxPositions }: Pick<ImportOptions, 'quant' | 'maxPositions'>,
): Promise<string> {
  const warnings: string[] = [];
  const longest = maxPositions ?? DEFAULT_MAX_POSITIONS;
  const opened = await openModel(path, { quant, maxPositions: longest, onReading: () => undefined }, warnings);
  const { folder, file, quantization, onlyOn } = opened;
  try {
    const most = Math.min(folder.config.max_position_embeddings, longest);
    const normalized = normalizeGraph(file.model, file.read, most, []);
    const anatomy = readAnatomy(normalized.model);
    const { config } = folder;
    const parts = planParts(anatomy).parts.map(({ name, weights, uses }) => {
      const listed = weights.map((tensor) => ({
        ...{ name: tensor.name, type: tensorType(tensor), dims: [...tensorDims(tensor)], offset: 0 },
        bytes: tensorByteLength(tensor),
      }));
      return { name, blob: sized(listed.reduce((sum, { bytes }) => sum + bytes, 0)), weights: listed, uses };
    });
    const model: SizedManifest = {
      name: folder.name,
      parts,
      minStages: 2,
      config: {
        architecture: config.model_type,
        layers: anatomy.layers.length,
        hiddenSize: anatomy.hiddenSize,
        vocabularySize: config.vocab_size,
        heads: anatomy.heads,
        kvHeads: anatomy.kvHeads,
        headSize: config.head_dim ?? anatomy.hiddenSize / anatomy.heads,
        maxPositions: normalized.maxPositions,
        endTokens: [],
      },
      pins: {
        ...{ runtime: 'onnxruntime-web', runtimeVersion: '', accuracyLevel: 0, accumulation: 'f32', boundary: 'f16' },
        quantization,
        blockSize: normalized.blockSize,
        kv: anatomy.kvType,
        ...(onlyOn !== null && { onlyOn }),
      },
    };
    const parameters = countParameters(anatomy, config).toLocaleString('en');
    const head = `${folder.name}: ${parameters} parameters, ${quantization}, from ${opened.name}`;
    return [head, ...warnings, formatNeed(model, whyNotPlanned(anatomy, config.vocab_size) === null)].join('\n');
  } finally {
    file.close();
  }
}

/** A blob of which only the size is known. */
function sized(bytes: number): BlobRef {
  return { digest: digestOf(utf8('a plan')), bytes, pieces: [] };
}

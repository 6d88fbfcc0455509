import { toBase64, utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { manifestSchema, type BlobRef, type Manifest } from '#shared/model/manifest.ts';
import { unsignedSource } from './model-sources.ts';

/** A manifest that parses, of a model whose blobs are nowhere. Each layer has one f32 weight of `layerBytes`. */
export function smallManifest({
  name = 'small',
  layers = 8,
  layerBytes = 1024,
  minStages = 2,
  maxPositions = 512,
} = {}): Manifest {
  const part = (partName: string) => ({
    name: partName,
    blob: emptyBlobOf(`${name} ${partName}`, layerBytes),
    weights: [
      { name: `${partName}.weight`, type: 'float32' as const, dims: [layerBytes / 4], offset: 0, bytes: layerBytes },
    ],
    uses: [],
  });
  const layerNames = Array.from({ length: layers }, (_, layer) => `layer.${layer}`);
  return manifestSchema.parse({
    format: 'chorus-manifest/3',
    name,
    description: 'for tests',
    licence: 'none',
    parameters: 1000,
    config: {
      architecture: 'Test',
      layers,
      hiddenSize: 8,
      vocabularySize: 100,
      heads: 1,
      kvHeads: 1,
      headSize: 8,
      maxPositions,
      endTokens: [0],
    },
    pins: {
      runtime: 'onnxruntime-web',
      runtimeVersion: '1.30.0',
      quantization: 'fp32',
      blockSize: 0,
      accuracyLevel: 0,
      accumulation: 'f32',
      boundary: 'f16',
      kv: 'float32',
    },
    minStages,
    graph: emptyBlobOf(`${name} graph`, 0),
    parts: ['embedding', ...layerNames, 'head'].map(part),
    tokenizer: { tokenizer: emptyBlobOf('tokenizer', 0), config: emptyBlobOf('config', 0) },
    card: null,
    source: unsignedSource(),
    probe: {
      tokens: [1],
      boundaries: [],
      logits: emptyBlobOf('logits', 0),
      tolerance: 0.001,
      channelScale: toBase64(new Uint8Array(new Float32Array(8).fill(1).buffer)),
    },
  });
}

function emptyBlobOf(text: string, bytes: number): BlobRef {
  const digest = digestOf(utf8(text));
  return { digest, bytes, pieces: bytes === 0 ? [] : [digest] };
}

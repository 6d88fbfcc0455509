import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { readAnatomy } from '#shared/model/anatomy.ts';
import { cutStage, type CutRequest } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { decodeModel, encodeModel } from '#shared/model/onnx-file.ts';
import { cutStageGraph } from '#shared/model/stage-graph.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { codeOf } from '../../support/code-of.ts';
import { importWren } from '../../support/imported-wren.ts';
import { buildSyntheticModel, syntheticShapes } from '../../support/synthetic-models.ts';

const tiny = encodeModel(
  buildSyntheticModel({ ...syntheticShapes.smolFp32, layers: 1, vocabulary: 4, hidden: 32, intermediate: 32 }),
);
const layer: StageRange = { start: 0, end: 1, embedding: false, head: false };

test('a model file cut off anywhere is refused or is a whole model still', () => {
  const whole = readAnatomy(decodeModel(tiny));
  expect(whole.layers).toHaveLength(1);
  for (let length = 0; length < tiny.length; length += 97) {
    expect(
      codeOf(() => readAnatomy(decodeModel(tiny.subarray(0, length)))),
      `${length} bytes`,
    ).toMatch(/^(bad|unsupported)-model$/);
  }
});

test('a model file with any bytes changed is cut, or refused with a code', () => {
  const changes = fc.array(fc.tuple(fc.nat(tiny.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(changes, (edits) => {
      const bytes = tiny.slice();
      for (const [at, value] of edits) bytes[at] = value;
      const code = codeOf(() => cutStageGraph(readAnatomy(decodeModel(bytes)), layer));
      expect(['no error', 'bad-model', 'unsupported-model']).toContain(code);
    }),
    { numRuns: 400 },
  );
});

test('bytes that are no model at all are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(codeOf(() => readAnatomy(decodeModel(bytes)))).toMatch(/^(bad|unsupported)-model$/);
    }),
  );
});

describe('a manifest that does not fit its graph is refused', { timeout: 60_000 }, () => {
  type Spoil = (request: CutRequest, manifest: Manifest) => Partial<CutRequest>;
  const part = (manifest: Manifest) => manifest.parts.find(({ name }) => name === 'layer.0')!;
  const changed = (change: (manifest: Manifest) => void): Spoil => {
    return (_, manifest) => {
      const copy = structuredClone(manifest);
      change(copy);
      return { manifest: copy };
    };
  };
  const cases: readonly (readonly [string, ErrorCode, Spoil])[] = [
    ['with a range beyond the last layer', 'bad-model', () => ({ range: { ...layer, start: 8, end: 9 } })],
    ['with another number of layers', 'bad-model', changed((manifest) => void (manifest.config.layers = 7))],
    [
      'without one of its parts',
      'bad-manifest',
      changed((manifest) => void manifest.parts.splice(manifest.parts.indexOf(part(manifest)), 1)),
    ],
    [
      'with a weight at another offset',
      'bad-model',
      changed((manifest) => void (part(manifest).weights[0]!.offset += 64)),
    ],
    [
      'with a weight of another length',
      'bad-model',
      changed((manifest) => void (part(manifest).weights[0]!.bytes += 4)),
    ],
    [
      'with a weight of another shape',
      'bad-model',
      changed((manifest) => void part(manifest).weights[0]!.dims.push(1)),
    ],
    [
      'with a weight of another type',
      'bad-model',
      changed((manifest) => void (part(manifest).weights[0]!.type = 'int8')),
    ],
    ['without a weight that the graph reads', 'bad-model', changed((manifest) => void part(manifest).weights.shift())],
    [
      'with a weight in two parts',
      'bad-model',
      changed((manifest) => manifest.parts.at(-1)!.weights.push(part(manifest).weights[0]!)),
    ],
    [
      'with another pinned accuracy level',
      'pin-mismatch',
      changed((manifest) => void (manifest.pins.accuracyLevel = 1)),
    ],
    [
      'whose blob is shorter than it says',
      'bad-model',
      (request) => ({ blob: (digest: Digest) => request.blob!(digest).slice(1) }),
    ],
    ['whose graph is cut off', 'bad-model', (request) => ({ graph: request.graph.subarray(0, 5000) })],
  ];
  test.each(cases)('%s', async (_, code, spoil) => {
    const { manifest, blob: imported } = await importWren();
    const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
    for (const { digest } of [manifest.graph, ...manifest.parts.map(({ blob }) => blob)])
      blobs.set(digest, imported(digest));
    const blob = (digest: Digest) => blobs.get(digest)!;
    const request: CutRequest = { manifest, graph: blob(manifest.graph.digest), range: layer, blob };
    expect(codeOf(() => cutStage(request))).toBe('no error');
    expect(codeOf(() => cutStage({ ...request, ...spoil(request, manifest) }))).toBe(code);
  });
});

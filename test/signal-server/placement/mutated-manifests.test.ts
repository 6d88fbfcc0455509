import { expect, test } from 'vitest';
import { parseStrictJson } from '#shared/crypto/strict-json.ts';
import { seeded } from '../../../scripts/mutants/draw.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseForm } from '#shared/form-words.ts';
import type { Digest } from '#shared/ids.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { manifestSchema, roundingOf } from '#shared/model/manifest.ts';
import { needOf } from '../../../signal-server/placement/model-fit.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { repetitions } from '../../support/effort.ts';
import { jsonBytes, mutatedBytes, mutatedJson } from '../../support/mutations.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { toyManifest } from '../../support/toy-model.ts';

const digest = 'd'.repeat(64) as Digest;
const CASES = repetitions(400, 100_000);

/** All that a server does with a manifest before it has looked at a blob. */
function take(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    const manifest = parseForm(manifestSchema, parseStrictJson(bytes), 'the manifest', 'bad-manifest');
    const planned = planModel(digest, manifest, 1, true);
    needOf(planned);
    roundingOf(manifest.parts);
    channelScale(manifest);
    return 'taken';
  } catch (thrown) {
    if (thrown instanceof ChorusError) return thrown.code;
    throw thrown;
  }
}

test.each([
  ['small', smallManifest()],
  ['toy', toyManifest],
])(
  'a %s manifest with anything changed in it is taken or refused in words, in a moment',
  { timeout: 600_000 },
  (_, manifest) => {
    expect(take(jsonBytes(manifest))).toBe('taken');
    const found = new Set<string>();
    let slowestMs = 0;
    for (let seed = 0; seed < CASES; seed++) {
      const chance = seeded(seed);
      let bytes = jsonBytes(mutatedJson(manifest, chance));
      if (chance() < 0.3) bytes = mutatedBytes(bytes, chance);
      const startedMs = performance.now();
      let outcome: string;
      try {
        outcome = take(bytes);
      } catch (thrown) {
        throw new Error(`seed ${seed}`, { cause: thrown });
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      found.add(outcome);
    }
    expect([...found].sort()).toEqual(['bad-manifest', 'bad-message', 'taken']);
    expect(slowestMs).toBeLessThan(5_000);
  },
);

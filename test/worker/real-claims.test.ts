import { beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { sketchClaim, type ClaimedRow } from '#shared/credit/claim-sketch.ts';
import { agreedPositions } from '#shared/credit/judge-claims.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { SessionId } from '#shared/ids.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { encodeTokens, type Rows } from '#shared/rows/rows.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import { claimOf, digestFor } from '../support/claims.ts';
import { loadEngineStage } from '../support/engine-stage.ts';
import { importWren, type ImportedWren } from '../support/imported-wren.ts';
import { idOf, leaseOf } from '../support/leases.ts';
import { loadRuntimeStage } from '../support/runtime-stage.ts';
import { wrenText } from '../support/wren-text.ts';

const session = 'a'.repeat(32) as SessionId;
const ranges: readonly StageRange[] = [
  { start: 0, end: 4, embedding: true, head: false },
  { start: 4, end: 8, embedding: false, head: true },
];
const text =
  'Once upon a time a fox lived at the edge of a dark wood. Every evening it went down to the river, where an old ' +
  'heron stood in the reeds, and asked it what it had seen that day. The heron told it of boats and of rain, of the ' +
  'price of eggs in the town, and of 1,024 stars that it had counted in the water before the moon came up.';
const tokens = wrenText.encode(text);
const SEEDS = 40;

type Load = (range: StageRange) => Promise<ServedStage>;

/** The rows of one stage, computed by whole chunks or position by position. */
async function rowsOf(load: Load, range: StageRange, input: Rows, step: number): Promise<ClaimedRow[]> {
  const stage = await load(range);
  await stage.open(session, input.count);
  const inputs = splitRows(input.bytes, input.count);
  const rows: ClaimedRow[] = [];
  for (let start = 0; start < input.count; start += step) {
    const count = Math.min(step, input.count - start);
    const bytes = new Uint8Array(inputs.slice(start, start + count).flatMap((row) => [...row]));
    const { output } = await stage.run({ session, input: { ...input, start, count, bytes }, logitsFrom: start });
    splitRows(output.bytes, count).forEach((row, i) =>
      rows.push({ position: start + i, input: inputs[start + i]!, output: row.slice() }),
    );
  }
  await stage.release();
  return rows;
}

describe('claims of two that computed the default model on different arithmetic', { timeout: 240_000 }, () => {
  let wren: ImportedWren;
  let other: ImportedWren;
  beforeAll(async () => {
    [wren, other] = [await importWren(), await importWren('fp32')];
  }, 240_000);

  const engine: Load = (range) => loadEngineStage(wren, range);
  const runtime: Load = (range) => loadRuntimeStage(wren, range);
  const unrounded: Load = (range) => loadRuntimeStage(other, range);
  const { route } = leaseOf({ requester: idOf('a'), stages: [[idOf('1')], [idOf('2')]], ranges });

  /** Of SEEDS claims, those that agree with the other's. */
  function agreeing(stage: number, one: readonly ClaimedRow[], two: readonly ClaimedRow[], names: [string, string]) {
    const { manifest } = wren;
    const sketcher = { range: ranges[stage]!, manifest, scale: channelScale(manifest) };
    return Array.from({ length: SEEDS }, (_, i) => new Uint8Array(32).fill(i + 1)).filter((seed) => {
      const [mine, theirs] = [one, two].map((rows, k) => ({
        numericClass: names[k]!,
        claim: {
          ...claimOf(route, stage, { id: idOf(stage === 0 ? '1' : '2') }),
          ...{ positions: rows.length, numericClass: digestOf(utf8(names[k]!)) },
          ...{ output: digestFor(`${k}`), runs: digestFor(`${k}`), sketch: sketchClaim(rows, seed, sketcher) },
        },
      }));
      return agreedPositions(mine!, theirs!, manifest.config) !== null;
    }).length;
  }

  test('agree under every seed, and with other weights under none', async () => {
    const asked: Rows = { kind: 'tokens', start: 0, count: tokens.length, bytes: encodeTokens(tokens) };
    const first = await rowsOf(engine, ranges[0]!, asked, 32);
    const firstOther = await rowsOf(runtime, ranges[0]!, asked, 32);
    const firstSingly = await rowsOf(runtime, ranges[0]!, asked, 1);
    const firstWrong = await rowsOf(unrounded, ranges[0]!, asked, 32);
    const names: [string, string] = [ENGINE_CLASS, RUNTIME_CLASS];
    const same: [string, string] = [RUNTIME_CLASS, RUNTIME_CLASS];
    expect(agreeing(0, firstOther, first, names)).toBe(SEEDS);
    expect(agreeing(0, firstSingly, firstOther, same)).toBe(SEEDS);
    expect(agreeing(0, firstWrong, first, names)).toBe(0);
    const bytes = new Uint8Array(first.flatMap(({ output }) => [...output]));
    const handed: Rows = { kind: 'hidden', start: 0, count: tokens.length, bytes };
    const last = await rowsOf(engine, ranges[1]!, handed, 32);
    const lastOther = await rowsOf(runtime, ranges[1]!, handed, 32);
    const lastSingly = await rowsOf(runtime, ranges[1]!, handed, 1);
    const lastWrong = await rowsOf(unrounded, ranges[1]!, handed, 32);
    expect(agreeing(1, lastOther, last, names)).toBe(SEEDS);
    expect(agreeing(1, lastSingly, lastOther, same)).toBe(SEEDS);
    expect(agreeing(1, lastWrong, last, names)).toBe(0);
  });
});

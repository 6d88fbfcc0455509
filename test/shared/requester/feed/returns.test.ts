import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { Returns } from '#shared/requester/feed/returns.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';

const STAGES = 3;

/** Tokens [start, end) as they are sent, and their logits as they come back. */
function round(sequence: number, start: number, end: number, logitsFrom: number) {
  const parts = { session: 'ab'.repeat(16) as SessionId, epoch: 0, sequence, chunk: 0, logitsFrom, hops: [] };
  const count = end - start;
  const from = Math.min(Math.max(start, logitsFrom), end);
  const tokens = { kind: 'tokens', start, count, bytes: new Uint8Array(4 * count) } as const;
  const logits = { kind: 'logits', start: from, count: end - from, bytes: new Uint8Array(8 * (end - from)) } as const;
  return {
    sent: rowsMessage({ ...parts, stage: 0, rows: tokens }),
    came: rowsMessage({ ...parts, stage: STAGES, rows: logits }),
  };
}

function expecting(...rounds: ReturnType<typeof round>[]): Returns {
  const returns = new Returns();
  for (const { sent } of rounds) returns.expect(sent, STAGES);
  return returns;
}

/** Ends and counts of logits of what has been round. */
const taken = (returns: Returns) => returns.take().map(({ rows, end }) => [end, rows.rows.count]);

describe('what comes back of a session', () => {
  it('has been round, where no logits were wanted, once something after it has', () => {
    const rounds = [round(0, 0, 8, 15), round(1, 8, 16, 15)];
    const returns = expecting(...rounds);
    returns.arrived(rounds[1]!.came);
    expect(taken(returns)).toEqual([
      [8, 0],
      [16, 1],
    ]);
  });

  it('is waited for where logits were wanted, whatever comes after it', () => {
    const rounds = [round(0, 0, 8, 5), round(1, 8, 16, 5)];
    const returns = expecting(...rounds);
    returns.arrived(rounds[1]!.came);
    expect(taken(returns)).toEqual([]);
    returns.arrived(rounds[0]!.came);
    expect(taken(returns)).toEqual([
      [8, 3],
      [16, 8],
    ]);
  });

  it('is not waited for after a cut', () => {
    const rounds = [round(0, 0, 8, 20), round(1, 8, 16, 20)];
    const returns = expecting(...rounds);
    returns.cut(11);
    expect(taken(returns)).toEqual([
      [8, 0],
      [11, 0],
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { NetworkHistory } from '../../../signal-server/view/network-history.ts';

const nobody = { volunteers: 0, sessions: 0 };

describe('the history of the network', () => {
  const speeds = (history: NetworkHistory): number[] => history.points.map((point) => point.tokensPerSecond);

  /** With points at 10, 20 and 30 seconds. */
  function threePoints(): NetworkHistory {
    const history = new NetworkHistory(0);
    for (const seconds of [10, 20, 30]) history.add(1000 * seconds, 1e12 + 1000 * seconds, nobody);
    return history;
  }

  it('spreads the tokens of an answer over the time in which they were made', () => {
    const history = threePoints();
    history.addTokens(35_000, 100, 20_000);
    history.add(40_000, 1e12 + 40_000, nobody);
    expect(speeds(history)).toEqual([0, 2.5, 5, 2.5]);
  });

  it('adds up answers that ran at the same time', () => {
    const history = threePoints();
    history.addTokens(30_000, 40, 10_000);
    history.addTokens(30_000, 60, 10_000);
    expect(speeds(history)).toEqual([0, 0, 10]);
  });

  it('takes what was made at once, or nobody knows how fast, for made now', () => {
    const history = threePoints();
    history.addTokens(31_000, 1, 0);
    history.add(40_000, 1e12 + 40_000, nobody);
    expect(speeds(history)).toEqual([0, 0, 0, 0.1]);
  });

  it('keeps the last hour', () => {
    const history = new NetworkHistory(0);
    for (let point = 1; point <= 400; point++) history.add(10_000 * point, 10_000 * point, nobody);
    expect(history.points).toHaveLength(360);
    expect(history.points[0]!.atMs).toBe(410_000);
  });
});

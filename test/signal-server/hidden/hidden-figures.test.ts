import { describe, expect, it } from 'vitest';
import { HiddenFigures } from '../../../signal-server/hidden/hidden-figures.ts';

describe('the figures of hidden sessions', () => {
  it('are shown as they were when they were published last', () => {
    const figures = new HiddenFigures();
    figures.add('trial', 'passed', { tokens: 8, anchorMs: 100, isSteerer: false });
    figures.add('later', 'failed', { tokens: 20, anchorMs: 300, isSteerer: true });
    expect(figures.shown).toMatchObject({ tokens: 0, anchorMs: 0, steerers: 0 });
    figures.publish();
    figures.add('later', 'failed', { tokens: 1, anchorMs: 1, isSteerer: false });
    expect(figures.shown).toEqual({
      sessions: { trial: { passed: 1, failed: 0, unclear: 0 }, later: { passed: 0, failed: 1, unclear: 0 } },
      ...{ tokens: 28, anchorMs: 400, steerers: 1 },
    });
  });

  it('have what is counted with them wait, and count it once', () => {
    const figures = new HiddenFigures();
    const counted: string[] = [];
    for (const name of ['a', 'b', 'a']) figures.countLater(name, (sum) => counted.push(`${name} ${sum}`));
    expect(counted).toEqual([]);
    figures.publish();
    figures.publish();
    expect(counted).toEqual(['a 2', 'b 1']);
  });
});

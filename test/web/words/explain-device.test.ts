import { expect, it } from 'vitest';
import { explainClock, explainPath } from '../../../web/words/explain-device.ts';

it('names who sees the network address of a tab, and who could read what it sends, either way', () => {
  expect(explainPath(false)).toMatch(/talks to directly see its network address;.* its operator could read/);
  expect(explainPath(true)).toMatch(/no stranger sees its network address,.* operator could read/);
});

it('names a clock that is far off to its owner, and no other', () => {
  expect([explainClock(null), explainClock(-30_000)]).toEqual([null, null]);
  expect(explainClock(21 * 60_000)).toMatch(/^This device’s clock is 21 minutes ahead of the server’s\. /);
});

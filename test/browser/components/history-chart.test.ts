import { flushSync, mount, unmount } from 'svelte';
import { expect, test } from 'vitest';
import HistoryChart from '../../../web/components/controls/HistoryChart.svelte';
import { PageConnection } from '../../../web/state/connection.svelte.ts';

test('the drawing follows the values, also those that come before it is made', async () => {
  const target = document.createElement('div');
  target.style.width = '400px';
  document.body.append(target);
  // Any rune will do as the source of values.
  const source = new PageConnection();
  const component = mount(HistoryChart, {
    target,
    props: {
      title: 'Links',
      unit: '',
      timesMs: [0, 60_000, 120_000],
      get values() {
        return [1, 1, source.directLinks];
      },
      colour: '--accent',
    },
  });
  const drawing = (): string => target.querySelector('canvas')?.toDataURL() ?? '';
  await expect.poll(drawing).not.toBe('');
  await new Promise((resolve) => requestAnimationFrame(resolve));
  const before = drawing();
  source.directLinks = 3;
  flushSync();
  await expect.poll(drawing).not.toBe(before);
  await unmount(component);
});

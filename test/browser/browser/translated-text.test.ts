import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import AnswerView from '../../../web/components/answer/AnswerView.svelte';
import { surviveTranslation } from '../../../web/browser/translated-text.ts';
import CopyButton from '../../../web/components/controls/CopyButton.svelte';
import VolunteerControl from '../../../web/components/volunteer/VolunteerControl.svelte';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import { storyEvents } from '../../support/page-gallery/check-fixtures.ts';
import { lostPage } from '../../support/page-state.ts';
import { translate, type Placing } from '../../support/translator.ts';

let target: HTMLElement;
let stop: () => void;
let showOriginal: (() => void) | null = null;
const shown: object[] = [];
beforeEach(() => {
  target = document.createElement('div');
  document.body.append(target);
  stop = surviveTranslation(target);
});
afterEach(async () => {
  showOriginal?.();
  showOriginal = null;
  for (const component of shown.splice(0)) await unmount(component);
  stop();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

/** Resolves once observers have heard of all that was done. */
const settled = () => new Promise((resolve) => setTimeout(resolve));
const text = () => target.textContent.replaceAll(/\s+/g, ' ').trim();

describe.each<Placing>(['replaced', 'beside, then removed'])(
  'in a page whose texts are %s by a translation',
  (placing) => {
    const begin = async () => {
      showOriginal = translate(target, placing);
      await settled();
    };

    test('what is written into a text is seen, and translated', async () => {
      const node = new Text('one');
      target.append(node, document.createElement('hr'));
      await begin();
      expect(text()).toBe('‹one›');
      for (const next of ['two', 'two and a half', 'three']) {
        node.data = next;
        await settled();
        expect(text()).toBe(`‹${next}›`);
      }
      node.data = '';
      await settled();
      expect(text()).toBe('');
    });

    test('what is written just as a translation comes is seen', async () => {
      const node = new Text('one');
      target.append(node);
      showOriginal = translate(target, placing);
      node.data = 'two';
      await settled();
      await settled();
      expect(text()).toBe('‹two›');
    });

    test('a text that is removed takes its translation with it, and one that is moved does too', async () => {
      const [first, second] = [new Text('first'), new Text('second')];
      const line = document.createElement('hr');
      target.append(first, line, second);
      await begin();
      first.remove();
      await settled();
      expect(text()).toBe('‹second›');
      line.before(second);
      await settled();
      expect(text()).toBe('‹second›');
      expect(target.lastElementChild).toBe(line);
    });

    test('the original comes back with what was written last', async () => {
      const node = new Text('one');
      target.append(node);
      await begin();
      node.data = 'two';
      await settled();
      showOriginal?.();
      showOriginal = null;
      await settled();
      expect(text()).toBe('two');
      node.data = 'three';
      await settled();
      expect(text()).toBe('three');
    });

    test('a component goes on showing what is so', async () => {
      vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue(undefined);
      shown.push(mount(CopyButton, { target, props: { text: 'abc', what: 'the key' } }));
      await begin();
      expect(text()).toContain('Copy the key');
      target.querySelector('button')!.click();
      await expect.poll(text).toContain('Copied');
      await settled();
      expect(text()).not.toContain('Copy the key');
    });
  },
);

test('a headline that changes is not left over', async () => {
  const panel = lostPage().volunteer;
  shown.push(mount(VolunteerControl, { target, props: { volunteer: panel, isSuspended: false } }));
  showOriginal = translate(target);
  await panel.start();
  flushSync();
  await settled();
  expect(text()).toMatch(/^‹Stopped by a problem›.*‹The signal server cannot be reached›/);
  expect(text()).not.toContain('Not working');
});

test('an answer is not translated, and whole', async () => {
  const answer = new ShownAnswer(0);
  shown.push(mount(AnswerView, { target, props: { answer } }));
  showOriginal = translate(target);
  for (const event of storyEvents()) {
    answer.apply(event, 10);
    flushSync();
    await Promise.resolve();
  }
  await settled();
  expect(target.querySelector('.text')?.textContent).toBe(answer.text);
  expect(text()).toContain('‹Checked: same result twice›');
});

import type { StorageFault } from '../browser/not-kept.ts';
import type { KeptThing } from '../state/page/device-storage.svelte.ts';
import { plural } from './format.ts';

const THINGS: Readonly<Record<KeptThing, string>> = {
  key: 'the key of this tab',
  files: 'downloaded parts of models',
  settings: 'your settings',
  conversations: 'your conversations',
};
const ALL = 'The key of this tab, your settings, your conversations and downloaded parts of models';

/** What is not kept, why, and what can be done; null where everything is. */
export function explainLost(lost: ReadonlyMap<KeptThing, StorageFault>): { title: string; text: string } | null {
  const faults = new Set(lost.values());
  if (faults.has('denied')) {
    return {
      title: 'This browser keeps nothing for this page',
      text: `Cookies or site data may be blocked, or the window be a private one. Asking and lending work all the same. ${ALL} last until this tab is closed.`,
    };
  }
  if (faults.has('silent')) {
    return {
      title: 'The storage of this browser does not answer',
      text: `Asking and lending work all the same. ${ALL} last until this tab is closed. Starting the browser again may help.`,
    };
  }
  if (lost.size === 0) return null;
  const things = listOf([...lost.keys()].map((thing) => THINGS[thing]));
  const last = `Asking and lending work all the same, but ${things} will not outlast this tab.`;
  if (faults.has('full')) {
    return {
      title: 'This browser has no more room for this page',
      text: `${last} Make room on this device, or clear what the Volunteer view says is kept on it.`,
    };
  }
  return { title: 'This browser could not keep everything', text: `${last} Starting the browser again may help.` };
}

/** What became of pieces that were kept and damaged. */
export function explainDamage(pieces: number): string {
  const [were, they] = pieces === 1 ? ['was', 'It'] : ['were', 'They'];
  return (
    `${plural(pieces, 'part')} of a model that this device had kept ${were} damaged or lost. ` +
    `${they} ${were} downloaded again, and nothing was computed from what was wrong. ` +
    'If this is told again and again, the disk may be failing.'
  );
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

import type { KeptConversation, KeptId } from '../../../web/conversations/kept-conversation.ts';
import { TurnTree } from '../../../web/state/conversation/turn-tree.svelte.ts';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import { storyEvents } from './check-fixtures.ts';

/** Conversations as a device keeps them, made up. */

const HOUR_MS = 3_600_000;

function idOf(number: number): KeptId {
  return number.toString(16).padStart(16, '0') as KeptId;
}

/** One question with a checked answer, asked so long before `nowMs`. */
function talk(number: number, question: string, nowMs: number, agoMs: number): KeptConversation {
  const tree = new TurnTree(idOf(number));
  const answer = new ShownAnswer(0);
  for (const event of storyEvents()) answer.apply(event, 10);
  tree.add({ id: idOf(1000 + number), parent: null, question, askedAtMs: nowMs - agoMs, leftOut: 0, answer });
  return tree.kept!;
}

/** Of today, yesterday, the last week and long ago. */
export function keptConversations(nowMs: number): KeptConversation[] {
  const asked: readonly (readonly [string, number])[] = [
    ['What is the capital of France?', 0.2],
    ['Tell me a story about a small owl who could not read in the dark', 1.5],
    ['Who are you?', 26],
    ['What is 17 plus 25, and why does nobody ever ask what 25 plus 17 is?', 30],
    ['A poem about the sea', 75],
    ['Colours of the rainbow', 400],
    ['How do wrens build their nests?', 900],
  ];
  return asked.map(([question, hours], i) => talk(i + 1, question, nowMs, hours * HOUR_MS));
}

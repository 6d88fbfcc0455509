import { ChorusError } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import type { DrawRecord, SignedDrawRequest } from './draw-form.ts';

/**
 * Throws `bad-message` if a route's draw is not for what its requester asked, or leaves out somebody in its name whom it did not name:
 * whoever signs a receipt with such a draw in it says that it asked so.
 */
export function checkAsked(
  draw: DrawRecord | undefined,
  asked: SignedDrawRequest | null,
  exclude: readonly PeerId[],
): void {
  if (draw?.by !== 'roster') return;
  const { request, stages } = draw;
  const isSame =
    asked !== null &&
    (['nonce', 'series', 'number', 'shadows', 'signature'] as const).every((name) => request[name] === asked[name]) &&
    request.checkpoint.size === asked.checkpoint.size &&
    request.checkpoint.root === asked.checkpoint.root;
  if (!isSame) throw wrong('it was drawn for another request');
  for (const { id, skip } of stages.flatMap(({ looks }) => looks)) {
    if (skip?.reason === 'left-out' && !exclude.includes(id))
      throw wrong('it leaves somebody out in the name of a requester who did not ask for that');
  }
}

function wrong(reason: string): ChorusError {
  return new ChorusError('bad-message', `the server gave a wrong route: ${reason}`);
}

import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Route } from '../../route/route.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import type { SessionLost } from './session-news.ts';

/** The reason to leave out two volunteers at once. */
export const CONTRADICTION = 'two volunteers contradict each other, and one of them is wrong';

/** The reason to leave out a volunteer that is gone. */
export const LINK_LOST = 'the connection to a volunteer was lost';

/** The meaning of a peer's `fault` for the session. */
export type ToldFault =
  /** `receiver`, a replica of `stage`, says that the stage before sent it impossible rows, or none. */
  | {
      readonly type: 'refusal';
      readonly stage: number;
      readonly receiver: PeerId;
      readonly error: ChorusError;
      /** True where it comes from another volunteer and not from the receiver itself. */
      readonly isHearsay: boolean;
    }
  /** A shadow has left the session. */
  | { readonly type: 'shadow-left' }
  | SessionLost;

/** Reads a fault; null if it is not `from`'s to tell. */
export function readFault(
  from: PeerId,
  fault: Extract<PeerMessage, { type: 'fault' }>,
  { stages }: Route,
): ToldFault | null {
  const first = stages[0]!.primary.id;
  const isPrimary = stages.some(({ primary }) => primary.id === from);
  const own = stages.findIndex(({ primary, shadows }) => [primary, ...shadows].some(({ id }) => id === from));
  // The first one passes on what those after it say.
  const stage = from === first ? fault.stage : own;
  const receiver = isPrimary ? stages[stage]?.primary.id : from;
  const error = new ChorusError(fault.code, fault.message);
  if (receiver !== undefined && fault.volunteer !== null && fault.volunteer === stages[stage - 1]?.primary.id) {
    return { type: 'refusal', stage, receiver, error, isHearsay: receiver !== from };
  }
  // A shadow that tells of a fault has left; the faults of primaries count only as the first one passes them on.
  if (!isPrimary) return { type: 'shadow-left' };
  if (from !== first) return null;
  const named = stages.find((each) => each.primary.id === fault.volunteer)?.primary.id;
  const isEndOfLease = fault.code === 'timeout' && fault.volunteer === null;
  if (isEndOfLease) return { type: 'lost', error, blamed: [] };
  const blamed = named ?? stages[fault.stage]?.primary.id ?? first;
  return { type: 'lost', error, blamed: [blamed], ...(blamed !== from && { told: from }) };
}

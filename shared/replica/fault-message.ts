import type { ErrorCode } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import type { PeerMessage } from '../wire/peer-message.ts';

/** Says that a session, or a request for one, failed; `volunteer` is held to be at fault. */
export function faultMessage(
  session: SessionId,
  stage: number,
  code: ErrorCode,
  message: string,
  volunteer: PeerId | null,
): PeerMessage {
  return { type: 'fault', session, stage, code, message: message.slice(0, 300), volunteer };
}

import type { SessionId } from '../ids.ts';
import type { PeerMessage } from './peer-message.ts';

/** The session that a message is about. */
export function sessionOf(message: PeerMessage): SessionId | null {
  if (message.type === 'commit') return message.commit.statement.session;
  if (message.type === 'reveal') return message.reveal.statement.session;
  return 'session' in message ? message.session : null;
}

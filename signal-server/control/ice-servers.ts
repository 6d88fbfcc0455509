import { createHmac } from 'node:crypto';
import type { PeerId } from '#shared/ids.ts';
import type { Config, IceServer } from '../machine/config.ts';

/**
 * The ICE servers one peer may use. TURN credentials are made for that peer and end after `ttlSeconds`: user name
 * `expiry:id`, password base64(HMAC-SHA1(secret, user name)), as coturn's `use-auth-secret` and
 * draft-uberti-behave-turn-rest-00 section 2.2 have it.
 */
export function iceServersFor(peer: PeerId, config: Pick<Config, 'iceServers' | 'turn'>, wallMs: number): IceServer[] {
  const { iceServers, turn } = config;
  if (turn === null) return iceServers;
  const username = `${Math.floor(wallMs / 1000) + turn.ttlSeconds}:${peer}`;
  const credential = createHmac('sha1', turn.secret).update(username).digest('base64');
  return [...iceServers, { urls: turn.urls, username, credential }];
}

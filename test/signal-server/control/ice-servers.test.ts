import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { iceServersFor } from '../../../signal-server/control/ice-servers.ts';

const peer = 'ab'.repeat(32) as PeerId;
const turn = { urls: ['turn:turn.example:3478'], secret: 'north', ttlSeconds: 3600 };

describe('ICE servers', () => {
  it('are those configured where there is no TURN secret', () => {
    const iceServers = [{ urls: ['stun:stun.example'] }];
    expect(iceServersFor(peer, { iceServers, turn: null }, 0)).toEqual(iceServers);
  });

  it('include TURN credentials that end after their time and are for one peer', () => {
    const [server] = iceServersFor(peer, { iceServers: [], turn }, 1_700_000_000_999);
    expect(server).toMatchObject({ urls: turn.urls, username: `1700003600:${peer}` });
    expect(server!.credential).toBe(createHmac('sha1', 'north').update(`1700003600:${peer}`).digest('base64'));
  });

  it('agree with a credential computed by openssl', () => {
    // printf '%s' 1700003600:abab… | openssl dgst -sha1 -hmac north -binary | base64
    const [server] = iceServersFor(peer, { iceServers: [], turn }, 1_700_000_000_000);
    expect(server!.credential).toBe('ya+8ckwixxha/nACCPVf94srmOg=');
  });
});

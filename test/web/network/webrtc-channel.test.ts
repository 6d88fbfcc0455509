import { EventEmitter } from 'node:events';
import type { DataConnection } from 'peerjs';
import { expect, it } from 'vitest';
import { openWebRtcChannel } from '../../../web/network/webrtc-channel.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { settle } from '../../support/fake-clock.ts';

const description = (fingerprint: string) => ({ sdp: `v=0\r\na=fingerprint:sha-256 ${fingerprint}\r\n` });
const pieceOf = (byte: number): ArrayBuffer => Uint8Array.of(byte).buffer;

/** A dialing side whose data channel is open while its browser has not taken in the answer: a matter of milliseconds. */
function unanswered() {
  const peerConnection = Object.assign(new EventTarget(), {
    signalingState: 'have-local-offer',
    localDescription: description('AA:01'),
    remoteDescription: null as ReturnType<typeof description> | null,
  });
  const connection = Object.assign(new EventEmitter(), {
    peerConnection,
    dataChannel: Object.assign(new EventTarget(), { bufferedAmount: 0, bufferedAmountLowThreshold: 0 }),
    close: () => void connection.emit('close'),
  });
  const answer = (): void => {
    peerConnection.signalingState = 'stable';
    peerConnection.remoteDescription = description('BB:02');
    peerConnection.dispatchEvent(new Event('signalingstatechange'));
  };
  return { connection, answer, opening: openWebRtcChannel(connection as unknown as DataConnection) };
}

it('a data channel that opens before the answer is seen waits for it, and loses nothing', async () => {
  const { connection, answer, opening } = unanswered();
  connection.emit('data', pieceOf(1));
  connection.emit('data', pieceOf(2));
  answer();
  const channel = await opening;
  expect(channel.binding).toBe('sha-256 aa:01 sha-256 bb:02');
  const pieces: number[] = [];
  channel.onPiece = ([byte]) => pieces.push(byte!);
  connection.emit('data', pieceOf(3));
  expect(pieces).toEqual([]);
  await settle();
  connection.emit('data', pieceOf(4));
  expect(pieces).toEqual([1, 2, 3, 4]);
});

it('a data channel that closes before the answer is seen does not come to be', async () => {
  const { connection, opening } = unanswered();
  connection.emit('close');
  expect(await codeOfAsync(opening)).toBe('bad-message');
});

it('a data channel takes in only so much before anybody listens', async () => {
  const { connection, opening } = unanswered();
  let isClosed = false;
  connection.on('close', () => (isClosed = true));
  for (let i = 0; i < 16; i++) connection.emit('data', pieceOf(i));
  expect(isClosed).toBe(false);
  connection.emit('data', pieceOf(16));
  expect(isClosed).toBe(true);
  expect(await codeOfAsync(opening)).toBe('bad-message');
});

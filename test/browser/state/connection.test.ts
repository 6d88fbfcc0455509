import { expect, test } from 'vitest';
import { PageConnection } from '../../../web/state/connection.svelte.ts';
import { peer } from '../../support/page-gallery/fixtures.ts';

/** A link that closes when it is told to. */
function link(n: number, transport: 'webrtc' | 'relay') {
  let end = (): void => undefined;
  const onClose = (listener: (reason: string) => void) => {
    end = () => listener('gone');
    return () => undefined;
  };
  return { peer: peer(n), transport, onClose, close: () => end() };
}

test('links count while they are open, by how they run', () => {
  const connection = new PageConnection();
  const [direct, relayed] = [link(1, 'webrtc'), link(2, 'relay')];
  for (const each of [direct, relayed]) connection.addLink(each);
  expect([connection.directLinks, connection.relayedLinks]).toEqual([1, 1]);
  direct.close();
  expect([connection.directLinks, connection.relayedLinks]).toEqual([0, 1]);
});

test('the relay has taken over until there is a direct link to the same peer', () => {
  const connection = new PageConnection();
  connection.fallBack(peer(1));
  connection.addLink(link(1, 'relay'));
  connection.addLink(link(2, 'webrtc'));
  expect([...connection.fellBack]).toEqual([peer(1)]);
  connection.addLink(link(1, 'webrtc'));
  expect(connection.fellBack.size).toBe(0);
});

test('the relay has not taken over any more once its link has ended', () => {
  const connection = new PageConnection();
  const relayed = link(1, 'relay');
  connection.fallBack(peer(1));
  connection.addLink(relayed);
  relayed.close();
  expect(connection.fellBack.size).toBe(0);
});

/** A message socket as the control client needs it: the WebSocket of browsers and that of `ws`, made alike. */
export interface Socket {
  /** Throws if the socket is not open. */
  send(message: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
  /** Bytes handed over that have not left yet. */
  readonly bufferedBytes: number;
  onOpen: () => void;
  onMessage: (message: string | Uint8Array<ArrayBuffer>) => void;
  /** Called once, also where the socket never opened. */
  onClose: (reason: string) => void;
}

/** The members that browsers' WebSocket and `ws` have in common. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

const OPEN = 1;

/** Wraps a WebSocket that has just been made. Its close is always reported, an error's reason with it. */
export function adaptWebSocket(webSocket: WebSocketLike): Socket {
  webSocket.binaryType = 'arraybuffer';
  let failure = '';
  const socket: Socket = {
    send: (message) => {
      if (webSocket.readyState !== OPEN) throw new Error('the socket is not open');
      webSocket.send(message);
    },
    close: () => webSocket.close(),
    get bufferedBytes() {
      return webSocket.bufferedAmount;
    },
    onOpen: () => {},
    onMessage: () => {},
    onClose: () => {},
  };
  webSocket.onopen = () => socket.onOpen();
  webSocket.onmessage = (event: { data: unknown }) => {
    const { data } = event;
    if (typeof data === 'string') socket.onMessage(data);
    else if (data instanceof ArrayBuffer) socket.onMessage(new Uint8Array(data));
  };
  webSocket.onerror = (event: { message?: unknown }) => {
    failure = typeof event.message === 'string' ? event.message : '';
  };
  webSocket.onclose = (event: { code?: unknown; reason?: unknown }) => {
    const reason = typeof event.reason === 'string' ? event.reason : '';
    socket.onClose(
      reason || failure || `the connection closed (${typeof event.code === 'number' ? event.code : 'no code'})`,
    );
  };
  return socket;
}

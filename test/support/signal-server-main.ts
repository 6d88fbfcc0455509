import { startInProcessServer } from './in-process-server.ts';

/** Run by `fork` with the allowed origins as arguments: sends its port, and ends when its parent lets go. */
const server = await startInProcessServer(process.argv.slice(2));
process.send?.(server.port);
process.once('disconnect', () => void server.stop().finally(() => process.exit()));

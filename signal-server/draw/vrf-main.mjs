// Threads of Node 20 do not inherit tsx, and `--import tsx` does nothing in them: it must be registered by hand.
import { register } from 'tsx/esm/api';

register();
await import('./vrf-main.ts');

/** `npm run stack [-- --secured] [--user NAME] [--brokers 3] [--cluster]`: sets up, then runs the stack under Node 24. */
import { becomeNode, nodeMajor } from './node24.mjs'
import { setupOrExit } from './setup.mjs'

const { bin } = setupOrExit({ testTools: true })
if (nodeMajor < 24) await becomeNode(bin)
await import('../e2e/stack/main.ts')

import { defaultConstants } from '#core/constants.ts'
import { runResolverService } from '../../resolver/main.ts'
import { runProcess } from './service-process.ts'

await runProcess('resolver', parts => runResolverService({ ...parts, constants: defaultConstants }))

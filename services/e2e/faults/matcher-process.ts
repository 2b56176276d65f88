import { defaultConstants } from '#core/constants.ts'
import { runMatcherService } from '../../matcher/main.ts'
import { runProcess } from './service-process.ts'

await runProcess('matcher', parts => runMatcherService({ ...parts, constants: defaultConstants }))

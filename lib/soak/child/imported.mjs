/*
 * Loaded after the modules of the user's `--import` (such as tsx). From now on the app's main module can be imported
 * with their hooks. An earlier import would lack them, and the module would then fail for Node as well.
 */

import child from './main.js'

child.imported()

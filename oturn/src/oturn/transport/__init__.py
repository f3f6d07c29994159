"""Ways to a model, under the one contract of `oturn.transport.base`. Import the module needed."""
